"""Figures of the probabilities that architecture parameters stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from search_spaces.cell_genotype import CellKind, Relaxation, complete_edges
from search_spaces.cell_graphs import node_name
from search_spaces.parametric_genotypes import Choice, Choices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOSEN, OTHER = "#0072b2", "#c9d3dc"
"""Colour of the bar of the candidate with the largest probability, and of the others."""


def probabilities_figure(relaxation: Relaxation | Choices) -> Figure:
    """The probabilities of all operations, or of all candidates."""
    return heat_map(relaxation) if isinstance(relaxation, Relaxation) else bars(relaxation)


def heat_map(relaxation: Relaxation) -> Figure:
    """Heat map of the softmax over operations: a row per edge, a column per operation.

    Where edges have weights, of the products with these. Both cells share one scale, from 0 to the
    largest number.
    """
    from matplotlib.figure import Figure

    kinds = get_args(CellKind)
    rows = {kind: relaxation.shares(kind) for kind in kinds}
    largest = max(max(row) for kind in kinds for row in rows[kind])
    edges = [_edge_name(*edge) for edge in complete_edges(relaxation.nodes)]
    operations = [name.replace("_", " ") for name in relaxation.operations]
    size = (3 + 1.3 * len(operations), 2.2 + 0.3 * len(edges))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, kinds, strict=True):
        image = axes.imshow(rows[kind], vmin=0, vmax=largest, cmap="viridis", aspect="auto")
        axes.set_title(f"{kind} cell")
        axes.set_xticks(
            range(len(operations)), operations, rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(edges)), edges)
        _write_numbers(axes, rows[kind], bright=0.6 * largest)
    label = "probability times weight of the edge" if relaxation.has_edges else "probability"
    figure.colorbar(image, ax=panels, label=label, fraction=0.03)
    return figure


def bars(choices: Choices) -> Figure:
    """A row of bars for each number searched: a bar per candidate, the chosen one in blue.

    Numbers with one candidate are no choice and are left out, unless all are so.
    """
    from matplotlib.figure import Figure

    shown = {name: each for name, each in choices.choices.items() if len(each.candidates) > 1}
    shown = shown or choices.choices
    figure = Figure(figsize=(7, 0.5 + 1.1 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, (name, choice) in zip(panels, shown.items(), strict=True):
        _draw_bars(axes, name.replace("_", " "), choice)
    return figure


def _draw_bars(axes: Axes, name: str, choice: Choice) -> None:
    shares = choice.probabilities()
    places = range(len(shares))
    colours = [CHOSEN if each == choice.best() else OTHER for each in choice.candidates]
    axes.bar(places, shares, color=colours, width=0.7)
    for place, share in zip(places, shares, strict=True):
        axes.text(place, share + 0.03, f"{share:.2f}", ha="center", fontsize=8)
    axes.set_xticks(places, [str(each).replace("_", " ") for each in choice.candidates], fontsize=9)
    axes.set_xlim(-0.6, max(len(shares), 5) - 0.4)
    axes.set_ylim(0, 1.15)
    axes.set_yticks([])
    axes.set_ylabel(name, rotation=0, ha="right", va="center")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _write_numbers(axes: Axes, rows: Sequence[Sequence[float]], bright: float) -> None:
    """Write each number into its field, in black where the field is bright."""
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            colour = "black" if value > bright else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, size=8)


def _edge_name(source: int, target: int) -> str:
    return f"${node_name(source)}$ to {node_name(target)}"
