"""FlexVGG and ConcatenationFCN as graphs: networkx.DiGraph, and text in Graphviz's DOT."""

from __future__ import annotations

import math
from typing import TypeAlias

import graphviz
import networkx

from search_spaces.parametric_genotypes import (
    Choices,
    ConcatenationFCN,
    ConcatenationFCNGenotype,
    FlexVGG,
    FlexVGGGenotype,
    block_channels,
    input_channels,
    linear_features,
    tap_channels,
)

ParametricGenotype: TypeAlias = FlexVGGGenotype | ConcatenationFCNGenotype

ROLE_COLOURS = {
    "input": "#b7e1c4",
    "convolutions": "#dce6f2",
    "upsampling": "#f5e3b3",
    "combination": "#e3d7ef",
    "linear": "#e3d7ef",
    "output": "#f4c2bb",
}
"""Fill of a node by its role."""


def network_graph(genotype: ParametricGenotype) -> networkx.DiGraph:
    """Graph of a network, its parts in the order of computation.

    Every node has a ``role`` (a key of `ROLE_COLOURS`), ``lines`` (what it is, in words) and
    ``channels`` (of its output).
    """
    graph = networkx.DiGraph()
    last = _add_encoder(graph, genotype.network)
    if isinstance(genotype, FlexVGGGenotype):
        _add_classifier(graph, genotype.network, last)
    else:
        _add_decoder(graph, genotype.network)
    return graph


def to_dot(genotype: ParametricGenotype) -> str:
    """The network as DOT: a box for each part, the taller the more channels, and a caption.

    No label has an empty line: drawing one as PNG crashes the Graphviz in pygraphviz 2.0.4.
    """
    picture = graphviz.Digraph(
        "genotype",
        graph_attr={
            "rankdir": "LR",
            "ranksep": "0.35",
            "nodesep": "0.25",
            "fontname": "Helvetica",
            "fontsize": "13",
            "bgcolor": "white",
            "label": caption(genotype),
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "color": "#5a5a5a",
            "fontname": "Helvetica",
            "fontsize": "12",
        },
        edge_attr={"color": "#5a5a5a", "arrowsize": "0.7"},
    )
    for name, data in network_graph(genotype).nodes(data=True):
        height = f"{0.35 + 0.14 * math.log2(data['channels'] + 1):.2f}"
        label = "\n".join(data["lines"])
        picture.node(name, label, fillcolor=ROLE_COLOURS[data["role"]], height=height)
    for source, target in network_graph(genotype).edges:
        picture.edge(source, target)
    return picture.source


def caption(genotype: ParametricGenotype) -> str:
    """What kind of network, and each number that was searched with its probability."""
    kind = "FlexVGG" if isinstance(genotype, FlexVGGGenotype) else "ConcatenationFCN"
    chosen = _chosen(genotype.relaxation) if genotype.relaxation is not None else []
    return "    ".join([kind, *chosen])


def _chosen(relaxation: Choices) -> list[str]:
    return [
        f"{name.replace('_', ' ')} = {choice.best()} ({max(choice.probabilities()):.2f})"
        for name, choice in relaxation.choices.items()
        if len(choice.candidates) > 1
    ]


def _add(
    graph: networkx.DiGraph, name: str, role: str, channels: int, lines: list[str], *sources: str
) -> str:
    graph.add_node(name, role=role, channels=channels, lines=lines)
    graph.add_edges_from((source, name) for source in sources)
    return name


def _add_encoder(graph: networkx.DiGraph, network: FlexVGG | ConcatenationFCN) -> str:
    given = network.in_channels or 1
    seen = "image" if isinstance(network, ConcatenationFCN) else "map"
    if isinstance(network, FlexVGG) and network.sees_image:
        seen = "map, image"
    known = [str(network.in_channels)] if network.in_channels else []
    last = _add(graph, "input", "input", given, [seen, *known])
    widths = input_channels(network)
    last = _add(
        graph, "input block", "convolutions", widths[-1], ["input block", _row(widths)], last
    )
    for number, block in enumerate(block_channels(network), start=1):
        lines = [f"block {number}", "pool", _row(block)]
        last = _add(graph, f"block {number}", "convolutions", block[-1], lines, last)
    return last


def _add_classifier(graph: networkx.DiGraph, network: FlexVGG, last: str) -> None:
    height, width = network.pooled
    channels = block_channels(network)[-1][-1]
    last = _add(graph, "mean", "linear", channels, ["mean", f"to {height}x{width}"], last)
    for number, features in enumerate(linear_features(network), start=1):
        last = _add(graph, f"linear {number}", "linear", features, ["linear", str(features)], last)
    outputs = network.outputs
    _add(graph, "output", "output", outputs, ["logits", str(outputs)], last)


def _add_decoder(graph: networkx.DiGraph, network: ConcatenationFCN) -> None:
    taps = []
    for number, channels in enumerate(tap_channels(network)):
        block = f"block {network.blocks - number}"
        lines = ["upsample", str(channels)]
        taps.append(_add(graph, f"tap of {block}", "upsampling", channels, lines, block))
    widths = tap_channels(network)
    channels = sum(widths) if network.combination == "concatenate" else max(widths)
    lines = [network.combination, str(channels)]
    last = _add(graph, "combination", "combination", channels, lines, *reversed(taps))
    lines = ["mapping", str(channels)]
    last = _add(graph, "mapping", "convolutions", channels, lines, last)
    outputs = network.outputs
    _add(graph, "output", "output", outputs, ["logits", str(outputs)], last)


def _row(widths: tuple[int, ...]) -> str:
    return ", ".join(map(str, widths))
