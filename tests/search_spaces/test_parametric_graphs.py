"""The graph of a network has its parts in order, and the drawing says their channels."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import networkx
import pytest

from search_spaces.parametric_genotypes import (
    Choice,
    Choices,
    ConcatenationFCN,
    ConcatenationFCNGenotype,
    FlexVGG,
    FlexVGGGenotype,
)
from search_spaces.parametric_graphs import caption, network_graph, to_dot
from search_spaces.presets import CONCATENATION_FCN, FLEXVGG

SEGMENTER = ConcatenationFCNGenotype(CONCATENATION_FCN["005"])
DISCRIMINATOR = FlexVGGGenotype(FLEXVGG["published"])


def lines(graph: networkx.DiGraph) -> dict[str, list[str]]:
    return dict(graph.nodes(data="lines"))


def test_a_flexvgg_is_a_row_of_parts() -> None:
    graph = network_graph(DISCRIMINATOR)
    names = list(networkx.topological_sort(graph))
    assert names == [
        *("input", "input block", "block 1", "block 2", "block 3", "block 4", "mean"),
        *("linear 1", "linear 2", "output"),
    ]
    assert list(graph.edges) == list(zip(names[:-1], names[1:], strict=True))
    told = lines(graph)
    assert told["block 4"] == ["block 4", "pool", "512, 1024"]
    assert told["mean"] == ["mean", "to 15x22"]
    assert [told[f"linear {number}"][1] for number in (1, 2)] == ["128", "64"]


def test_the_taps_of_a_concatenation_fcn_meet() -> None:
    graph = network_graph(SEGMENTER)
    taps = ["tap of block 3", "tap of block 4", "tap of block 5"]
    assert list(graph.predecessors("combination")) == taps
    assert [list(graph.predecessors(tap)) for tap in taps] == [
        ["block 3"],
        ["block 4"],
        ["block 5"],
    ]
    told = lines(graph)
    assert [told[tap][1] for tap in taps] == ["128", "256", "512"]
    assert told["combination"] == ["concatenate", "896"]
    assert told["output"] == ["logits", "2"]


def test_a_sum_has_the_channels_of_the_widest_tap() -> None:
    network = msgspec.structs.replace(SEGMENTER.network, combination="sum")
    assert lines(network_graph(ConcatenationFCNGenotype(network)))["combination"] == ["sum", "512"]


def test_what_a_discriminator_sees_is_said() -> None:
    known = FlexVGG(sees_image=True, in_channels=4)
    assert lines(network_graph(FlexVGGGenotype(known)))["input"] == ["map, image", "4"]
    assert lines(network_graph(DISCRIMINATOR))["input"] == ["map"]


def test_the_caption_tells_what_was_searched() -> None:
    relaxation = Choices(
        {"blocks": Choice((3, 4), (0.0, 1.0)), "depth": Choice((2,), (0.3,))},
    )
    searched = ConcatenationFCNGenotype(ConcatenationFCN(), relaxation)
    assert caption(searched) == "ConcatenationFCN    blocks = 4 (0.73)"
    assert caption(DISCRIMINATOR) == "FlexVGG"


def test_wider_parts_are_drawn_taller() -> None:
    pygraphviz = pytest.importorskip("pygraphviz")
    graph: Any = pygraphviz.AGraph(string=to_dot(SEGMENTER))
    heights = [float(graph.get_node(f"block {n}").attr["height"]) for n in range(1, 6)]
    assert heights == sorted(heights)
    assert len(set(heights)) == 5
    assert set(graph.nodes()) == set(network_graph(SEGMENTER))
    assert len(graph.edges()) == len(network_graph(SEGMENTER).edges)


@pytest.mark.parametrize("genotype", [SEGMENTER, DISCRIMINATOR])
def test_no_label_has_an_empty_line(genotype: FlexVGGGenotype | ConcatenationFCNGenotype) -> None:
    """Such a label crashes the process that draws it."""
    labels = re.findall(r'label="([^"]*)"', to_dot(genotype))
    assert len(labels) > 5
    assert all(line.strip() for label in labels for line in label.split("\n"))
