"""Pictures of genotypes and of the probabilities they were derived from."""

from __future__ import annotations

import importlib.util
import io
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx

from search_spaces.cell_genotype import CellGenotype, CellKind, Relaxation, complete_edges
from search_spaces.graphs import (
    CONCATENATION_COLOUR,
    NODE_COLOURS,
    cell_graph,
    edge_colour,
    edge_label,
    node_name,
    to_dot,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS: tuple[CellKind, ...] = ("normal", "reduction")
PICTURE_FORMATS = ("svg", "pdf", "png")
DOTS_PER_INCH = 144


class DrawingError(ValueError):
    """A picture that cannot be made; the message says what formats there are."""


def draw(genotype: CellGenotype, path: str | os.PathLike[str]) -> None:
    """Draw both cells into a file: .svg, .pdf or .png, or .dot for the text of the graph.

    Raises:
        DrawingError: the suffix is none of these.
        OSError: the file cannot be written.
    """
    path = Path(path)
    path.write_bytes(render(genotype, _format(path, (*PICTURE_FORMATS, "dot"))))


def render(genotype: CellGenotype, file_format: str) -> bytes:
    """Content of a file with both cells: svg, pdf, png or dot.

    Graphviz lays the cells out, as pygraphviz brings it or as the program ``dot``; where there is
    neither, matplotlib draws them in topological order.
    """
    if file_format == "dot":
        return to_dot(genotype).encode()
    return _renderer()(genotype, file_format)


def draw_probabilities(relaxation: Relaxation, path: str | os.PathLike[str]) -> None:
    """Draw the heat map of `probabilities_figure` into a file: .svg, .pdf or .png.

    Raises:
        DrawingError: the suffix is none of these.
        OSError: the file cannot be written.
    """
    path = Path(path)
    file_format = _format(path, PICTURE_FORMATS)
    path.write_bytes(_save(probabilities_figure(relaxation), file_format))


def probabilities_figure(relaxation: Relaxation) -> Figure:
    """Heat map of the softmax over operations: a row per edge, a column per operation.

    Both cells share one scale, from 0 to the largest probability.
    """
    from matplotlib.figure import Figure

    rows = {kind: relaxation.probabilities(kind) for kind in KINDS}
    largest = max(max(row) for kind in KINDS for row in rows[kind])
    edges = [_edge_name(*edge) for edge in complete_edges(relaxation.nodes)]
    operations = [name.replace("_", " ") for name in relaxation.operations]
    size = (3 + 1.3 * len(operations), 2.2 + 0.3 * len(edges))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        image = axes.imshow(rows[kind], vmin=0, vmax=largest, cmap="viridis", aspect="auto")
        axes.set_title(f"{kind} cell")
        axes.set_xticks(
            range(len(operations)), operations, rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(edges)), edges)
        _write_numbers(axes, rows[kind], bright=0.6 * largest)
    figure.colorbar(image, ax=panels, label="probability", fraction=0.03)
    return figure


Renderer = Callable[[CellGenotype, str], bytes]


def _renderer() -> Renderer:
    if importlib.util.find_spec("pygraphviz"):
        return _with_pygraphviz
    return _with_dot if shutil.which("dot") else _with_matplotlib


def _with_pygraphviz(genotype: CellGenotype, file_format: str) -> bytes:
    from pygraphviz import AGraph

    graph = AGraph(string=to_dot(genotype))
    if file_format == "png":
        graph.graph_attr["dpi"] = str(DOTS_PER_INCH)
    content: bytes = graph.draw(format=file_format, prog="dot")
    return content


def _with_dot(genotype: CellGenotype, file_format: str) -> bytes:
    command = ["dot", f"-T{file_format}"]
    if file_format == "png":
        command.append(f"-Gdpi={DOTS_PER_INCH}")
    finished = subprocess.run(
        command, input=to_dot(genotype).encode(), stdout=subprocess.PIPE, check=True
    )
    return finished.stdout


def _with_matplotlib(genotype: CellGenotype, file_format: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    for axes, kind in zip(figure.subplots(2, 1), KINDS, strict=True):
        axes.set_title(f"{kind} cell")
        axes.axis("off")
        _plot_cell(axes, cell_graph(getattr(genotype, kind)))
    return _save(figure, file_format)


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


def _write_numbers(axes: Axes, rows: Sequence[Sequence[float]], bright: float) -> None:
    """Write each number into its field, in black where the field is bright."""
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            colour = "black" if value > bright else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, size=8)


def _save(figure: Figure, file_format: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=file_format, dpi=DOTS_PER_INCH)
    return content.getvalue()


def _format(path: Path, formats: tuple[str, ...]) -> str:
    file_format = path.suffix.removeprefix(".").lower()
    if file_format not in formats:
        expected = ", ".join(f".{name}" for name in formats)
        raise DrawingError(f"{path}: cannot draw {path.suffix or 'no suffix'!r}: use {expected}")
    return file_format


def _edge_name(source: int, target: int) -> str:
    return f"${node_name(source)}$ to {node_name(target)}"
