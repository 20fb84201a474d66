from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from search_spaces.cell_genotype import OPERATIONS, Cell, Network, Relaxation
from search_spaces.derivation import derive

Rows = tuple[tuple[float, ...], ...]

# Multiples of 1/4: ties are frequent, and sums with other such numbers are exact.
VALUES = st.integers(-12, 12).map(lambda value: value / 4)


def _alphas(nodes: int) -> st.SearchStrategy[np.ndarray]:
    size = sum(range(2, 2 + nodes)) * len(OPERATIONS)
    return st.lists(VALUES, min_size=size, max_size=size).map(
        lambda values: np.reshape(values, (-1, len(OPERATIONS)))
    )


def _relaxation(
    alpha: np.ndarray, reduction: np.ndarray | None = None, operations: Sequence[str] = OPERATIONS
) -> Relaxation:
    other = alpha if reduction is None else reduction
    return Relaxation(tuple(operations), _rows(alpha), _rows(other))


def _rows(alpha: np.ndarray) -> Rows:
    return tuple(map(tuple, alpha.tolist()))


def _choice(cell: Cell) -> list[list[tuple[str, int]]]:
    return [[(edge.operation, edge.source) for edge in node] for node in cell.nodes]


def _decode_by_sorting(alpha: np.ndarray, edges_per_node: int) -> list[list[tuple[str, int]]]:
    """All (edge, operation) pairs of a node in one list, best first: another way to decode."""
    probabilities = np.round(softmax(alpha, axis=1), 12)
    chosen, row, node = [], 0, 2
    while row < len(alpha):
        pairs = [
            (-probabilities[row + source, column], source, column)
            for source in range(node)
            for column in range(1, len(OPERATIONS))
        ]
        kept: dict[int, str] = {}
        for _, source, column in sorted(pairs):
            if source not in kept and len(kept) < edges_per_node:
                kept[source] = OPERATIONS[column]
        chosen.append([(kept[source], source) for source in sorted(kept)])
        row, node = row + node, node + 1
    return chosen


@given(st.integers(1, 4).flatmap(_alphas), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_decoding_equals_ranking_all_pairs_of_edge_and_operation(
    alpha: np.ndarray, edges_per_node: int
) -> None:
    genotype = derive(_relaxation(alpha), edges_per_node=edges_per_node)
    assert _choice(genotype.normal) == _decode_by_sorting(alpha, edges_per_node)


@given(_alphas(3), st.lists(VALUES, min_size=9, max_size=9))
@settings(max_examples=40, deadline=None)
def test_a_constant_added_to_a_row_changes_nothing(
    alpha: np.ndarray, constants: list[float]
) -> None:
    shifted = alpha + np.array(constants)[:, None]
    first, second = derive(_relaxation(alpha)), derive(_relaxation(shifted))
    assert (first.normal, first.reduction) == (second.normal, second.reduction)


@given(_alphas(3), st.permutations(range(len(OPERATIONS))))
@settings(max_examples=40, deadline=None)
def test_permuted_operations_give_the_permuted_result(alpha: np.ndarray, order: list[int]) -> None:
    # Without ties between the operations of a row, whose winner the order decides.
    alpha = alpha + np.arange(len(OPERATIONS)) / 64
    permuted = _relaxation(alpha[:, order], operations=[OPERATIONS[column] for column in order])
    assert derive(permuted).normal == derive(_relaxation(alpha)).normal


@given(_alphas(2))
@settings(max_examples=30, deadline=None)
def test_none_is_never_derived_however_probable(alpha: np.ndarray) -> None:
    alpha[:, 0] += 20
    genotype = derive(_relaxation(alpha))
    for cell in (genotype.normal, genotype.reduction):
        assert "none" not in {operation for node in _choice(cell) for operation, _ in node}


def test_an_edge_is_ranked_by_its_best_operation_other_than_none() -> None:
    alpha = np.zeros((5, 8))
    alpha[2] = [9, 0, 0, 0, 0, 0, 0, 0]
    alpha[3, 4] = 1
    alpha[4, 5] = 2
    genotype = derive(_relaxation(alpha))
    assert _choice(genotype.normal)[1] == [("sep_conv_3x3", 1), ("sep_conv_5x5", 2)]


def test_none_takes_probability_from_the_other_operations_of_its_edge() -> None:
    alpha = np.zeros((5, 8))
    alpha[2, 4], alpha[2, 0] = 2, 5
    alpha[3, 4] = alpha[4, 4] = 1
    assert _choice(derive(_relaxation(alpha)).normal)[1] == [
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 2),
    ]


def test_the_softmax_is_over_operations_and_not_over_edges() -> None:
    # Over the edges of node 3 the third would win: its best value stands out in its column.
    alpha = np.full((5, 8), -9.0)
    alpha[2, 4] = alpha[3, 4] = 3
    alpha[4] = 2
    assert _choice(derive(_relaxation(alpha)).normal)[1] == [
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
    ]


def test_ties_go_to_the_lower_source_and_the_first_operation() -> None:
    genotype = derive(_relaxation(np.zeros((14, 8))))
    expected = [("max_pool_3x3", 0), ("max_pool_3x3", 1)]
    assert _choice(genotype.normal) == [expected] * 4


def test_the_cells_are_derived_each_from_its_own_parameters() -> None:
    normal, reduction = np.zeros((2, 8)), np.zeros((2, 8))
    normal[0, 3], reduction[1, 7] = 1, 1
    genotype = derive(_relaxation(normal, reduction), edges_per_node=1)
    assert _choice(genotype.normal) == [[("skip_connect", 0)]]
    assert _choice(genotype.reduction) == [[("dil_conv_5x5", 1)]]


def test_what_was_derived_from_is_kept_beside_the_choice() -> None:
    alpha = np.zeros((5, 8))
    alpha[0, 2] = np.log(9)
    relaxation, network = _relaxation(alpha), Network(channels=5)
    genotype = derive(relaxation, network)
    assert genotype.normal.nodes[0][0].probability == 9 / 16
    assert genotype.relaxation == relaxation
    assert genotype.network == network
    assert genotype.normal.concat == (2, 3)


@pytest.mark.parametrize("edges_per_node", [0, -1])
def test_at_least_one_edge_is_kept(edges_per_node: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        derive(_relaxation(np.zeros((2, 8))), edges_per_node=edges_per_node)


def test_an_edge_with_a_weight_is_as_strong_as_its_best_operation_times_that() -> None:
    """Node 3 has edges of best probabilities 0.5, 0.4, 0.3 and weights 0.1, 0.3, 0.6."""
    operations = ("skip_connect", "none", "sep_conv_3x3")
    best = [0.5, 0.5, 0.5, 0.4, 0.3]
    alpha = np.log([[0.2, 0.8 - share, share] for share in best])
    alpha[4] = np.log([0.05, 0.65, 0.3])
    beta = tuple(np.log([0.5, 0.5, 0.1, 0.3, 0.6]).tolist())
    relaxation = Relaxation(operations, _rows(alpha), _rows(alpha), beta, beta)
    genotype = derive(relaxation)
    edges = genotype.normal.nodes[1]
    assert [(edge.operation, edge.source) for edge in edges] == [
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 2),
    ]
    assert [edge.probability for edge in edges] == pytest.approx([0.12, 0.18])
    without = derive(Relaxation(operations, _rows(alpha), _rows(alpha)))
    assert [edge.source for edge in without.normal.nodes[1]] == [0, 1]
