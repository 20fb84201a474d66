from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import cell_genotype, genotypes
from search_spaces.cell_genotype import OPERATIONS, Cell, CellGenotype, Edge, Network, Relaxation
from search_spaces.description import GenotypeError, Provenance

Fixture = Any
SEEDS = st.integers(0, 10_000)
ONE_NODE = Cell(((Edge("skip_connect", 0),),), (2,))


# Files


@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_written_genotypes_are_read_back(
    seed: int, random_genotype: Callable[..., CellGenotype], tmp_path_factory: Fixture
) -> None:
    genotype = random_genotype(seed)
    path = tmp_path_factory.mktemp("genotype") / "genotype.json"
    genotypes.write(genotype, path)
    assert genotypes.read(path) == genotype


def test_provenance_survives_and_may_be_nested(tmp_path: Path) -> None:
    provenance = Provenance(
        dataset="phantom", seed=3, epoch=7, settings={"unrolled": {"rate": 1e-4}, "x": None}
    )
    genotype = CellGenotype(ONE_NODE, ONE_NODE, Network(), provenance=provenance)
    genotypes.write(genotype, tmp_path / "g.json")
    assert genotypes.read(tmp_path / "g.json").provenance == provenance


def test_a_file_is_tagged_json_that_a_person_can_read(
    tmp_path: Path, random_genotype: Callable[..., CellGenotype]
) -> None:
    genotype = next(g for g in map(random_genotype, range(99)) if g.relaxation)
    genotypes.write(genotype, tmp_path / "g.json")
    text = (tmp_path / "g.json").read_text()
    content = json.loads(text)
    assert (content["format"], content["version"]) == ("discriminator-nas/genotype", 1)
    assert content["space"] == "cell"
    edges = sum(len(node) for cell in ("normal", "reduction") for node in content[cell]["nodes"])
    assert sum('"operation":' in line for line in text.splitlines()) >= edges / 2
    assert genotype.relaxation is not None
    row = json.dumps(genotype.relaxation.normal[0])
    assert row in [line.strip().rstrip(",") for line in text.splitlines()]


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk is full"):
        genotypes.write(CellGenotype(ONE_NODE, ONE_NODE, Network()), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _set(*keys: Any) -> Callable[[dict[str, Any]], None]:
    """Change that puts the last argument at the place that the others name."""
    *path, last, value = keys

    def change(content: Any) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return change


EDGE = ("normal", "nodes", 0, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_set("network", "sees_image", "yes"), "`bool`, got `str`"),
        (_set("format", "other"), "this is not a genotype"),
        (_set("version", 3), "version 3: at most 2 was expected"),
        (_set("space", "tree"), r"tree.*\$\.space"),
        (_set("extra", 1), "extra"),
        (_set("network", "width", 1), r"width.*\$\.network"),
        (_set(*EDGE, "colour", "red"), r"colour.*\$\.normal\.nodes\[0\]\[0\]"),
        (_set(*EDGE, "operation", "none"), r"'none' is not one of.*\$\.normal\.nodes\[0\]\[0\]"),
        (_set(*EDGE, "operation", "conv_9x9"), "'conv_9x9' is not one of max_pool_3x3"),
        (_set(*EDGE, "operation", 3), r"`str`, got `int`.*operation"),
        (_set(*EDGE, "source", 2), r"node 2 has an edge from node 2.*\$\.normal"),
        (_set(*EDGE, "source", -1), "source -1"),
        (_set(*EDGE, "source", 1.5), r"`int`, got `float`"),
        (_set(*EDGE, "probability", 1.5), "1.5 is not between 0 and 1"),
        (_set("normal", "nodes", 0, []), "node 2 has no edge"),
        (_set("normal", "nodes", []), "at least one intermediate node"),
        (_set("reduction", "concat", [1]), r"concat \[1\].*\$\.reduction"),
        (_set("reduction", "concat", [3]), r"concat \[3\]"),
        (_set("reduction", "concat", []), r"concat \[\]"),
        (_set("reduction", "concat", [2, 2]), r"concat \[2, 2\]"),
        (_set("network", "layout", "NRX"), r"'NRX' must be a word of N .*\$\.network"),
        (_set("network", "layout", ""), "must be a word of N"),
        (_set("network", "channels", 0), "channels is 0"),
        (_set("network", "normalisation", "layer"), r"layer.*\$\.network\.normalisation"),
        (_set("relaxation", "normal", 0, [0.0]), r"does not have 8 values.*\$\.relaxation"),
        (_set("relaxation", "normal", [[0.0] * 8]), "1 rows: 2, 5, 9"),
        (_set("relaxation", "normal", [[0.0] * 8] * 5), "as many in both"),
        (_set("relaxation", "operations", ["none"] * 8), "each once"),
        (_set("normal", None), r"`object`, got `null`.*\$\.normal"),
    ],
)
def test_errors_name_the_file_the_place_and_what_was_expected(
    change: Callable[[dict[str, Any]], None], expected: str, tmp_path: Path
) -> None:
    alpha = ((0.0,) * 8,) * 2
    genotype = CellGenotype(
        ONE_NODE, ONE_NODE, Network(), relaxation=Relaxation(OPERATIONS, alpha, alpha)
    )
    path = tmp_path / "bad.json"
    genotypes.write(genotype, path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(GenotypeError, match=expected) as caught:
        genotypes.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}", b"null"])
def test_files_that_are_no_genotypes_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.json"
    path.write_bytes(content)
    with pytest.raises(GenotypeError, match="foreign.json"):
        genotypes.read(path)


def test_two_edges_from_one_source_are_refused() -> None:
    with pytest.raises(GenotypeError, match="two edges from one source"):
        Cell(((Edge("skip_connect", 0), Edge("sep_conv_3x3", 0)),), (2,))


def test_the_relaxation_must_be_of_cells_with_as_many_nodes() -> None:
    alpha = ((0.0,) * 8,) * 5
    with pytest.raises(GenotypeError, match="2 nodes"):
        CellGenotype(ONE_NODE, ONE_NODE, Network(), relaxation=Relaxation(OPERATIONS, alpha, alpha))


def test_infinite_architecture_parameters_are_refused() -> None:
    alpha = ((math.inf,) * 8,) * 2
    with pytest.raises(GenotypeError, match="not finite"):
        Relaxation(OPERATIONS, alpha, alpha)


# Architecture parameters


@given(st.lists(st.floats(-50, 50), min_size=8, max_size=8))
@settings(max_examples=30, deadline=None)
def test_probabilities_are_the_softmax_over_operations(row: list[float]) -> None:
    from scipy.special import softmax

    other = tuple(range(8))
    relaxation = Relaxation(OPERATIONS, (tuple(row), other), (other, other))
    rows = relaxation.probabilities("normal")
    assert rows[0] == pytest.approx(softmax(row))
    assert rows[1] == pytest.approx(softmax(other))
    assert relaxation.probabilities("reduction")[0] == pytest.approx(softmax(other))


def test_large_architecture_parameters_do_not_overflow() -> None:
    row = (1000.0,) + (0.0,) * 7
    relaxation = Relaxation(OPERATIONS, (row, row), (row, row))
    assert relaxation.probabilities("normal")[0] == (1.0,) + (0.0,) * 7


def test_the_complete_cell_has_the_edges_of_darts_in_order() -> None:
    assert cell_genotype.complete_edges(2) == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert [len(cell_genotype.complete_edges(nodes)) for nodes in range(1, 6)] == [2, 5, 9, 14, 20]


@pytest.mark.parametrize(("rows", "nodes"), [(2, 1), (5, 2), (9, 3), (14, 4), (20, 5)])
def test_nodes_follow_from_the_number_of_rows(rows: int, nodes: int) -> None:
    alpha = ((0.0,) * 8,) * rows
    assert Relaxation(OPERATIONS, alpha, alpha).nodes == nodes


# Comparison


@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_order_of_edges_and_the_origin_do_not_make_another_architecture(
    seed: int, random_genotype: Callable[..., CellGenotype]
) -> None:
    genotype = random_genotype(seed)
    shuffle = random.Random(seed)

    def shuffled(cell: Cell) -> Cell:
        return Cell(
            tuple(
                tuple(
                    Edge(edge.operation, edge.source) for edge in shuffle.sample(edges, len(edges))
                )
                for edges in cell.nodes
            ),
            tuple(reversed(cell.concat)),
        )

    other = CellGenotype(
        shuffled(genotype.normal),
        shuffled(genotype.reduction),
        genotype.network,
        provenance=Provenance(seed=1),
    )
    assert genotypes.same_architecture(genotype, other)


def _replaced(genotype: CellGenotype, kind: str, edge: Edge) -> CellGenotype:
    cell: Cell = getattr(genotype, kind)
    nodes = ((edge, *cell.nodes[0][1:]), *cell.nodes[1:])
    return msgspec.structs.replace(genotype, **{kind: Cell(nodes, cell.concat)})


@pytest.mark.parametrize("kind", ["normal", "reduction"])
def test_another_operation_source_output_or_stack_is_another_architecture(
    kind: str, darts_v2: str
) -> None:
    genotype = cell_genotype.from_darts_text(darts_v2)
    first = getattr(genotype, kind).nodes[0][0]
    operation = "dil_conv_5x5"
    others = [
        _replaced(genotype, kind, Edge(operation, first.source)),
        genotype.with_network(channels=17),
        msgspec.structs.replace(genotype, **{kind: Cell(getattr(genotype, kind).nodes, (2, 3, 4))}),
    ]
    two_sources = Cell(((Edge("skip_connect", 1),),), (2,))
    assert not genotypes.same_architecture(
        CellGenotype(ONE_NODE, ONE_NODE, Network()), CellGenotype(ONE_NODE, two_sources, Network())
    )
    assert not any(genotypes.same_architecture(genotype, other) for other in others)


def test_the_network_of_a_copy_can_be_changed() -> None:
    genotype = CellGenotype(ONE_NODE, ONE_NODE, Network(channels=4))
    assert genotype.with_network(layout="NN").network == Network(channels=4, layout="NN")
    assert genotype.network.layout == "NRNRNRN"


# The text form of DARTS

Tuple = namedtuple("Tuple", "normal normal_concat reduce reduce_concat")


def test_published_text_is_understood_as_python_would(published: Fixture) -> None:
    truth = eval(published.text, {"Genotype": Tuple, "range": range})  # noqa: S307
    genotype = cell_genotype.from_darts_text(published.text)
    for cell, edges, concat in (
        (genotype.normal, truth.normal, truth.normal_concat),
        (genotype.reduction, truth.reduce, truth.reduce_concat),
    ):
        assert [(e.operation, e.source) for node in cell.nodes for e in node] == edges
        assert [len(node) for node in cell.nodes] == [2, 2, 2, 2]
        assert cell.concat == tuple(concat)


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_text_form_goes_both_ways(
    seed: int, random_genotype: Callable[..., CellGenotype]
) -> None:
    genotype = random_genotype(seed, edges_per_node=2)
    text = cell_genotype.to_darts_text(genotype)
    truth = eval(text, {"Genotype": Tuple})  # noqa: S307
    assert truth.reduce == [
        (edge.operation, edge.source) for node in genotype.reduction.nodes for edge in node
    ]
    back = cell_genotype.from_darts_text(text, genotype.network)
    assert genotypes.same_architecture(back, genotype)


def test_an_assignment_in_front_is_allowed(darts_v2: str) -> None:
    assert cell_genotype.from_darts_text(
        f"\n  DARTS_V2 = {darts_v2}\n"
    ) == cell_genotype.from_darts_text(darts_v2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Genotype(",
        "Genotype()",
        "3",
        "import os",
        "Other(normal=[], normal_concat=[], reduce=[], reduce_concat=[])",
        "Genotype(normal=[('skip_connect', 0)], normal_concat=[2], reduce=[], reduce_concat=[])",
        "Genotype(normal=__import__('os').getcwd(), normal_concat=[2], reduce=1, reduce_concat=1)",
        "Genotype(normal=[('none', 0), ('skip_connect', 1)], normal_concat=[2], "
        "reduce=[('none', 0), ('skip_connect', 1)], reduce_concat=[2])",
        "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=open('x'), "
        "reduce=[('skip_connect', 0), ('skip_connect', 1)], reduce_concat=[2])",
        "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2], extra=1, "
        "reduce=[('skip_connect', 0), ('skip_connect', 1)], reduce_concat=[2])",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(GenotypeError, match="not a genotype of DARTS"):
        cell_genotype.from_darts_text(text)


def test_text_is_never_executed(tmp_path: Path, darts_v2: str) -> None:
    trap = tmp_path / "executed"
    call = f"open({str(trap)!r}, 'w')"
    for text in (call, darts_v2.replace("[2, 3, 4, 5]", call), f"{darts_v2}.__class__({call})"):
        with pytest.raises(GenotypeError):
            cell_genotype.from_darts_text(text)
    assert not trap.exists()


def test_cells_without_two_edges_for_each_node_have_no_text_form() -> None:
    with pytest.raises(GenotypeError, match="exactly two edges"):
        cell_genotype.to_darts_text(CellGenotype(ONE_NODE, ONE_NODE, Network()))


# Imports


def test_genotypes_can_be_read_derived_and_graphed_without_torch() -> None:
    program = (
        "import search_spaces, sys; assert 'msgspec' not in sys.modules\n"
        "from search_spaces import cell_graphs, derivation, genotypes\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# Parameters of edges


def _weighed(edges: tuple[float, ...]) -> Relaxation:
    alpha = tuple((0.1 * row, *range(7)) for row in range(len(edges)))
    return Relaxation(OPERATIONS, alpha, alpha, edges, edges[::-1])


def test_weights_of_edges_are_the_softmax_over_those_into_a_node() -> None:
    from scipy.special import softmax

    edges = (0.5, -1.0, 2.0, 0.0, 1.0)
    relaxation = _weighed(edges)
    expected = [*softmax(edges[:2]), *softmax(edges[2:])]
    assert relaxation.edge_weights("normal") == pytest.approx(expected)
    assert relaxation.edge_weights("reduction")[:2] == pytest.approx(softmax([1.0, 0.0]))
    for row, probabilities, weight in zip(
        relaxation.shares("normal"), relaxation.probabilities("normal"), expected, strict=True
    ):
        assert row == pytest.approx([weight * each for each in probabilities])


def test_without_parameters_of_edges_shares_are_probabilities() -> None:
    alpha = ((0.3,) * 7 + (1.0,),) * 5
    relaxation = Relaxation(OPERATIONS, alpha, alpha)
    assert relaxation.edge_weights("normal") == (1.0,) * 5
    assert relaxation.shares("normal") == relaxation.probabilities("normal")


@pytest.mark.parametrize(("edges", "version"), [(None, 1), ((0.5, 0.25), 2)])
def test_a_file_has_the_first_version_that_can_hold_it(
    edges: tuple[float, ...] | None, version: int, tmp_path: Path
) -> None:
    alpha = ((0.0,) * 8,) * 2
    relaxation = Relaxation(OPERATIONS, alpha, alpha, edges, edges)
    genotype = CellGenotype(ONE_NODE, ONE_NODE, Network(), relaxation=relaxation)
    genotypes.write(genotype, tmp_path / "genotype.json")
    content = json.loads((tmp_path / "genotype.json").read_text())
    assert content["version"] == version
    assert ("normal_edges" in content["relaxation"]) == (edges is not None)
    assert genotypes.read(tmp_path / "genotype.json") == genotype
    content["version"] = 1
    (tmp_path / "old.json").write_text(json.dumps(content))
    if edges is None:
        assert genotypes.read(tmp_path / "old.json") == genotype
    else:
        with pytest.raises(GenotypeError, match="version 1, in which edges had no parameters"):
            genotypes.read(tmp_path / "old.json")


@pytest.mark.parametrize(
    ("normal", "reduction", "words"),
    [
        ((0.0, 1.0), None, "belong together"),
        ((0.0,), (0.0,), "normal_edges has 1 values: 2"),
        ((0.0, 1.0), (0.0, math.nan), "reduction_edges holds values that are not finite"),
    ],
)
def test_parameters_of_edges_are_one_for_each_edge_of_both_cells(
    normal: Any, reduction: Any, words: str
) -> None:
    alpha = ((0.0,) * 8,) * 2
    with pytest.raises(GenotypeError, match=words):
        Relaxation(OPERATIONS, alpha, alpha, normal, reduction)
