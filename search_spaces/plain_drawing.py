"""Drawings of genotypes by matplotlib, for machines without Graphviz."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_args

import networkx

from search_spaces.cell_genotype import CellGenotype, CellKind
from search_spaces.cell_graphs import (
    CONCATENATION_COLOUR,
    NODE_COLOURS,
    cell_graph,
    edge_colour,
    edge_label,
)
from search_spaces.genotypes import Genotype
from search_spaces.parametric_graphs import (
    ROLE_COLOURS,
    ParametricGenotype,
    caption,
    network_graph,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plain_figure(genotype: Genotype) -> Figure:
    """Both cells, or the parts of a network from left to right."""
    if isinstance(genotype, CellGenotype):
        return _cells_figure(genotype)
    return _network_figure(genotype)


def _cells_figure(genotype: CellGenotype) -> Figure:
    from matplotlib.figure import Figure

    kinds = get_args(CellKind)
    figure = Figure(figsize=(12, 9), layout="constrained")
    for axes, kind in zip(figure.subplots(2, 1), kinds, strict=True):
        axes.set_title(f"{kind} cell")
        axes.axis("off")
        _plot_cell(axes, cell_graph(getattr(genotype, kind)))
    return figure


def _network_figure(genotype: ParametricGenotype) -> Figure:
    from matplotlib.figure import Figure

    graph = network_graph(genotype)
    columns = list(networkx.topological_generations(graph.reverse()))[::-1]
    places = {
        name: (float(column), (len(names) - 1) / 2 - row)
        for column, names in enumerate(columns)
        for row, name in enumerate(names)
    }
    figure = Figure(figsize=(1.4 * len(columns), 4), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.set_title(caption(genotype), fontsize=10)
    for source, target in graph.edges:
        arrow = {"arrowstyle": "-|>", "color": "#5a5a5a", "shrinkA": 22, "shrinkB": 22}
        axes.annotate("", places[target], places[source], arrowprops=arrow)
    for name, data in graph.nodes(data=True):
        colour = ROLE_COLOURS[data["role"]]
        box = {"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": "#5a5a5a"}
        words = "\n".join(data["lines"])
        axes.text(*places[name], words, ha="center", va="center", bbox=box, size=9)
    axes.set_xlim(-0.6, len(columns) - 0.4)
    highest = max(height for _, height in places.values())
    axes.set_ylim(-highest - 0.7, highest + 0.7)
    return figure


def _plot_cell(axes: Axes, graph: networkx.DiGraph) -> None:
    places = _places(graph)
    for source, target, data in graph.edges(data=True):
        colour = edge_colour(data["operation"]) if "operation" in data else CONCATENATION_COLOUR
        arrow: dict[str, Any] = {
            "arrowstyle": "-|>",
            "color": colour,
            "shrinkA": 14,
            "shrinkB": 14,
        }
        axes.annotate("", places[target], places[source], arrowprops=arrow)
        if "operation" in data:
            label = edge_label(data["operation"], data["probability"])
            _label_edge(axes, places[source], places[target], label, colour)
    for name, role in graph.nodes(data="role"):
        box = {"boxstyle": "round,pad=0.5", "facecolor": NODE_COLOURS[role], "edgecolor": "#5a5a5a"}
        axes.text(*places[name], f"${name}$", ha="center", va="center", bbox=box, size=13)
    columns, rows = zip(*places.values(), strict=True)
    axes.set_xlim(min(columns) - 0.3, max(columns) + 0.3)
    axes.set_ylim(min(rows) - 0.4, max(rows) + 0.4)


def _places(graph: networkx.DiGraph) -> dict[str, tuple[float, float]]:
    """From left to right in topological order, on an ellipse, so that no edge runs over a node.

    The inputs stand one above the other, the nodes above and below in turn, the output in between.
    """
    names = list(networkx.lexicographical_topological_sort(graph, key=list(graph).index))
    last = len(names) - 2
    places = {}
    for index, name in enumerate(names):
        column = max(index - 1, 0)
        height = math.sqrt(1 - ((column / last - 0.46) / 0.54) ** 2)
        places[name] = (float(column), height if index % 2 == 0 else -height)
    return places


def _label_edge(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str, colour: str
) -> None:
    """Write along the edge, in the middle of a short one and near the start of a long one."""
    share = min(0.5, 0.8 / (end[0] - start[0]))
    x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
    axes.text(
        x,
        y,
        label,
        color=colour,
        size=9,
        ha="center",
        va="center",
        rotation=math.degrees(math.atan2(end[1] - start[1], end[0] - start[0])),
        rotation_mode="anchor",
        transform_rotates_text=True,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )
