from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import cell_graphs
from search_spaces.cell_genotype import OPERATIONS, CellGenotype, from_darts_text


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_graphs_hold_the_edges_of_the_cell(
    seed: int, random_genotype: Callable[..., CellGenotype]
) -> None:
    cell = random_genotype(seed).normal
    names = ["c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "4"]
    graph = cell_graphs.cell_graph(cell)
    expected = {
        (names[edge.source], names[2 + node], edge.operation, edge.probability)
        for node, edges in enumerate(cell.nodes)
        for edge in edges
    }
    found = {
        (source, target, data["operation"], data["probability"])
        for source, target, data in graph.edges(data=True)
        if target != "c_{k}"
    }
    assert found == expected
    assert set(graph.predecessors("c_{k}")) == {names[node] for node in cell.concat}
    assert list(graph) == [*names[: 2 + len(cell.nodes)], "c_{k}"]
    assert networkx.is_directed_acyclic_graph(graph)


def test_the_longest_path_of_a_published_cell(darts_v2: str) -> None:
    genotype = from_darts_text(darts_v2)
    assert networkx.dag_longest_path_length(cell_graphs.cell_graph(genotype.normal)) == 3
    roles = networkx.get_node_attributes(cell_graphs.cell_graph(genotype.normal), "role")
    assert sorted(roles.values()) == ["input"] * 2 + ["node"] * 4 + ["output"]


def test_dot_text_is_what_graphviz_reads(darts_v2: str) -> None:
    pygraphviz = pytest.importorskip("pygraphviz")
    genotype = from_darts_text(darts_v2)
    parsed: Any = pygraphviz.AGraph(string=cell_graphs.to_dot(genotype))
    clusters = {cluster.name: cluster for cluster in parsed.subgraphs()}
    assert set(clusters) == {"cluster_normal", "cluster_reduction"}
    for kind in ("normal", "reduction"):
        graph = cell_graphs.cell_graph(getattr(genotype, kind))
        edges = clusters[f"cluster_{kind}"].edges()
        assert {(a, b) for a, b in edges} == {
            (f"{kind} {a}", f"{kind} {b}") for a, b in graph.edges
        }
    edge = parsed.get_edge("normal 0", "normal 3")
    assert edge.attr["label"].strip() == "dil conv 3x3"


@pytest.mark.parametrize(
    ("operation", "probability", "label"),
    [
        ("sep_conv_3x3", 0.2749, "sep conv 3x3 0.27"),
        ("skip_connect", 0.125, "skip 0.12"),
        ("max_pool_3x3", None, "max pool 3x3"),
    ],
)
def test_labels_are_words(operation: str, probability: float | None, label: str) -> None:
    assert cell_graphs.edge_label(operation, probability) == label


def test_every_operation_has_the_colour_of_its_family() -> None:
    colours = {name: cell_graphs.edge_colour(name) for name in OPERATIONS[1:]}
    assert colours["max_pool_3x3"] == colours["avg_pool_3x3"]
    assert colours["sep_conv_3x3"] == colours["sep_conv_5x5"]
    assert colours["dil_conv_3x3"] == colours["dil_conv_5x5"]
    assert len(set(colours.values())) == 4
