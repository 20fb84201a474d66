"""Draws are valid, and every choice is as likely as it should be."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from random import Random

import pytest

from search_spaces.cell_genotype import Network
from search_spaces.description import GenotypeError
from search_spaces.parametric_genotypes import FlexVGG
from search_spaces.random_genotypes import random_cells, random_combination

OPERATIONS = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")
TRIALS = 3000


def near(count: int, share: float) -> bool:
    """Within five standard deviations of a binomial."""
    return abs(count - share * TRIALS) < 5 * (share * (1 - share) * TRIALS) ** 0.5


def test_edges_and_operations_are_equally_likely() -> None:
    generator = Random(0)
    pairs: Counter[tuple[int, ...]] = Counter()
    operations: Counter[str] = Counter()
    agree = 0
    for _ in range(TRIALS):
        genotype = random_cells(Network(), 2, OPERATIONS, 2, generator)
        edges = genotype.normal.nodes[1]
        pairs[tuple(edge.source for edge in edges)] += 1
        operations[edges[0].operation] += 1
        agree += edges[0].operation == genotype.reduction.nodes[1][0].operation
    assert set(pairs) == set(combinations(range(3), 2))
    assert all(near(count, 1 / 3) for count in pairs.values())
    assert set(operations) == set(OPERATIONS[1:])
    assert all(near(count, 1 / 3) for count in operations.values())
    assert near(agree, 1 / 3)


@pytest.mark.parametrize(("edges", "expected"), [(1, [1, 1, 1]), (2, [2, 2, 2]), (9, [2, 3, 4])])
def test_nodes_have_as_many_edges_as_there_are(edges: int, expected: list[int]) -> None:
    genotype = random_cells(Network(), 3, OPERATIONS, edges, Random(1))
    for cell in (genotype.normal, genotype.reduction):
        assert [len(node) for node in cell.nodes] == expected
        assert cell.concat == (2, 3, 4)


def test_the_generator_decides() -> None:
    first, again, other = (
        random_cells(Network(), 4, OPERATIONS, 2, Random(seed)) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(GenotypeError):
        random_cells(Network(), 1, ("none",), 2, Random(0))
    with pytest.raises(GenotypeError):
        random_cells(Network(), 0, OPERATIONS, 2, Random(0))


def test_numbers_are_drawn_from_all_combinations() -> None:
    generator, network = Random(0), FlexVGG()
    found: Counter[tuple[int, int]] = Counter()
    for _ in range(TRIALS):
        drawn = random_combination(network, {"blocks": (3, 4, 5), "depth": (1, 2)}, generator)
        found[drawn.blocks, drawn.depth] += 1
    assert len(found) == 6
    assert all(near(count, 1 / 6) for count in found.values())
