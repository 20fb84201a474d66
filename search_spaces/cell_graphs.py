"""Cells as graphs: for algorithms a networkx.DiGraph, for pictures text in Graphviz's DOT."""

from __future__ import annotations

import graphviz
import networkx

from search_spaces.cell_genotype import INPUTS, Cell, CellGenotype, CellKind

INPUT_NAMES = ("c_{k-2}", "c_{k-1}")
OUTPUT_NAME = "c_{k}"

NODE_COLOURS = {"input": "#b7e1c4", "node": "#dce6f2", "output": "#f4c2bb"}
"""Fill of a node by its role."""

EDGE_COLOURS = {
    "max": "#0072b2",
    "avg": "#0072b2",
    "skip": "#5f5f5f",
    "sep": "#b34700",
    "dil": "#7b3294",
}
"""Colour of an edge by the family of its operation, the first word of the name."""

CONCATENATION_COLOUR = "#b0b0b0"


def cell_graph(cell: Cell) -> networkx.DiGraph:
    """Graph of a cell: its inputs c_{k-2} and c_{k-1}, its nodes 0, 1, ..., its output c_{k}.

    Every node has a ``role``: input, node or output. Edges into intermediate nodes have an
    ``operation`` and a ``probability`` (None if unknown), those into the output have neither.
    """
    graph = networkx.DiGraph()
    graph.add_nodes_from(INPUT_NAMES, role="input")
    for node, edges in enumerate(cell.nodes, start=INPUTS):
        graph.add_node(node_name(node), role="node")
        for edge in edges:
            graph.add_edge(
                node_name(edge.source),
                node_name(node),
                operation=edge.operation,
                probability=edge.probability,
            )
    graph.add_node(OUTPUT_NAME, role="output")
    graph.add_edges_from((node_name(node), OUTPUT_NAME) for node in cell.concat)
    return graph


def node_name(node: int) -> str:
    """Name of a node that genotypes number: the inputs are c_{k-2} and c_{k-1}, the next is 0."""
    return INPUT_NAMES[node] if node < INPUTS else str(node - INPUTS)


def to_dot(genotype: CellGenotype) -> str:
    """Both cells as DOT, one cluster each."""
    picture = graphviz.Digraph(
        "genotype",
        graph_attr={
            "rankdir": "LR",
            "newrank": "true",
            "ranksep": "0.9",
            "nodesep": "0.28",
            "fontname": "Helvetica",
            "fontsize": "16",
            "bgcolor": "white",
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "color": "#5a5a5a",
            "fontname": "Helvetica",
            "fontsize": "14",
            "height": "0.4",
            "width": "0.5",
        },
        edge_attr={"fontname": "Helvetica", "fontsize": "11", "arrowsize": "0.7"},
    )
    from_bottom: tuple[CellKind, ...] = ("reduction", "normal")
    for kind in from_bottom:
        with picture.subgraph(name=f"cluster_{kind}") as cluster:
            cluster.attr(label=f"{kind} cell", color="#c8c8c8", style="rounded", margin="14")
            _draw_cell(cluster, cell_graph(getattr(genotype, kind)), kind)
    return picture.source


def edge_label(operation: str, probability: float | None) -> str:
    """Words for an edge, such as ``sep conv 3x3 0.27``."""
    words = operation.replace("_", " ").removesuffix(" connect")
    return words if probability is None else f"{words} {probability:.2f}"


def edge_colour(operation: str) -> str:
    """Colour of the family that the operation belongs to."""
    return EDGE_COLOURS[operation.split("_")[0]]


def _draw_cell(cluster: graphviz.Digraph, graph: networkx.DiGraph, prefix: str) -> None:
    for name, role in graph.nodes(data="role"):
        cluster.node(f"{prefix} {name}", _subscript(name), fillcolor=NODE_COLOURS[role])
    for source, target, data in graph.edges(data=True):
        ends = f"{prefix} {source}", f"{prefix} {target}"
        if "operation" in data:
            colour = edge_colour(data["operation"])
            label = edge_label(data["operation"], data["probability"])
            cluster.edge(*ends, f" {label} ", color=colour, fontcolor=colour, penwidth="1.6")
        else:
            cluster.edge(*ends, color=CONCATENATION_COLOUR)


def _subscript(name: str) -> str:
    """HTML label of Graphviz in which k-1 of ``c_{k-1}`` is a subscript."""
    letter, _, index = name.partition("_")
    return f"<<i>{letter}</i><sub>{index.strip('{}')}</sub>>" if index else name
