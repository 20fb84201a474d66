"""Curves of a run: what was learnt, and how the architecture came about.

Everything is drawn on matplotlib figures of their own, never on pyplot's global ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from search_spaces.cell_genotype import INPUTS, complete_edges
from search_spaces.parametric_genotypes import Choices

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C6D1F",
)
"""Okabe and Ito 2008, the yellow replaced by a brown that shows on white."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

INPUT_NAMES = ("c[k-2]", "c[k-1]")

OPERATION_STYLES: Mapping[str, tuple[str, str]] = {
    "none": ("#8A8A8A", ":"),
    "skip_connect": ("#000000", "-"),
    "max_pool_3x3": ("#009E73", "-"),
    "avg_pool_3x3": ("#009E73", "--"),
    "sep_conv_3x3": ("#0072B2", "-"),
    "sep_conv_5x5": ("#0072B2", "--"),
    "dil_conv_3x3": ("#D55E00", "-"),
    "dil_conv_5x5": ("#D55E00", "--"),
}
"""Colour by family, dashes for the larger kernel; other operations take the next free colour."""

PANELS: Mapping[str, Mapping[str, str]] = {
    "Losses": {
        "segmenter_loss": "segmenter",
        "discriminator_loss": "discriminator",
        "pretraining_loss": "pretraining",
        "generator_loss": "generator",
        "classification_loss": "classes of patches",
        "unmasking_loss": "unmasking of generated patches",
        "val_loss": "segmentation, validation images",
        "segmenter_architecture_loss": "objective of the segmenter's alpha",
        "discriminator_architecture_loss": "objective of the discriminator's alpha",
    },
    "Discriminator's accuracy": {
        "real_accuracy": "real taken for real",
        "fake_accuracy": "fake taken for fake",
    },
    "Patches": {
        "patch_accuracy": "annotated ones told by class",
        "unmasked": "generated ones taken for fake",
        "real_taken_for_fake": "annotated ones taken for fake",
    },
    "What the discriminator goes by": {"by_softness": "softness", "by_shape": "shape"},
    "Gradient of the adversarial term": {"weighted_ratio": "in parts of the segmentation loss's"},
    "Segmentation": {"mean_iou": "mean IoU"},
    "Second-order terms of the discriminator's alpha": {
        "discriminator_cosine_segmenter": "cosine, segmenter",
        "discriminator_cosine_discriminator": "cosine, discriminator",
        "discriminator_second_order_share": "share of the hypergradient",
    },
    "Second-order terms of the segmenter's alpha": {
        "segmenter_cosine_segmenter": "cosine, segmenter",
        "segmenter_second_order_share": "share of the hypergradient",
    },
}
"""Title of a panel, and in it the names of metrics and what they are called in its legend."""

SHARES = frozenset({"Discriminator's accuracy", "Segmentation", "Patches"})
"""Panels whose values are between 0 and 1 and are drawn on that scale."""


def learning_curves(
    records: Sequence[Mapping[str, Any]],
    panels: Mapping[str, Mapping[str, str]] = PANELS,
    title: str = "",
) -> Figure:
    """Metrics over epochs, one panel for each kind that the records have.

    Args:
        records: lines of metrics.jsonl: ``epoch`` and numbers by name. A line passes over the
            epochs that lack its number; None, or what is not finite, leaves a gap.
        panels: title, then metric and label, of each panel; panels without any number are left out.
        title: above all panels.

    Raises:
        ValueError: the records have no number for any panel.
    """
    shown = {
        name: {metric: label for metric, label in metrics.items() if has_numbers(records, metric)}
        for name, metrics in panels.items()
    }
    shown = {name: metrics for name, metrics in shown.items() if metrics}
    if not shown:
        raise ValueError("the records hold none of the metrics that the panels show")
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(4.6 * columns, 3.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, metrics) in zip(grid, shown.items(), strict=False):
        draw_metrics(axes, records, metrics)
        axes.set_title(name, fontsize=11)
        if name in SHARES:
            axes.set_ylim(-0.02, 1.02)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    if title:
        figure.suptitle(title)
    return figure


def probabilities_over_epochs(
    epochs: Sequence[int],
    probabilities: NDArray[np.floating],
    operations: Sequence[str],
    title: str = "",
) -> Figure:
    """How the probabilities of the operations on each edge of a cell moved.

    One small panel per edge: rows are the nodes that edges lead to, columns those they come from.

    Args:
        epochs: T epochs.
        probabilities: (T, E, O): softmax over the operations of each edge, edges in the order
            0->2, 1->2, 0->3, 1->3, 2->3, and so on.
        operations: the O names.
        title: above all panels, such as the kind of cell.

    Raises:
        ValueError: the shapes do not agree, or E is not 2, 5, 9, 14 or another complete cell.
    """
    expected = (len(epochs), probabilities.shape[1], len(operations))
    if probabilities.shape != expected:
        raise ValueError(f"probabilities {probabilities.shape} do not have the shape {expected}")
    nodes = intermediate_nodes(probabilities.shape[1])
    figure = Figure(figsize=(2.1 * (nodes + 1) + 1.5, 1.7 * nodes + 0.9), layout="constrained")
    grid = figure.subplots(nodes, nodes + 1, sharex=True, sharey=True, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for edge, (source, target) in enumerate(complete_edges(nodes)):
        axes = grid[target - INPUTS][source]
        axes.set_axis_on()
        axes.set_title(f"{node_name(source)} to {node_name(target)}", fontsize=9)
        draw_probabilities(axes, epochs, probabilities[:, edge], operations)
    grid[0][0].set_ylim(bottom=0)
    grid[0][0].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("probability", fontsize=10)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    return figure


def choices_over_epochs(
    epochs: Sequence[int], relaxations: Sequence[Choices], title: str = ""
) -> Figure:
    """How the probabilities of the candidates for each number of a network moved.

    One panel per number that has several candidates, or per number where none has.

    Args:
        epochs: T epochs.
        relaxations: T of them, of one search.
        title: above all panels.
    """
    last = relaxations[-1].choices
    shown = [name for name, each in last.items() if len(each.candidates) > 1] or list(last)
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(3.6 * columns, 2.5 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    for axes, name in zip(grid, shown, strict=False):
        values = np.array([each.choices[name].probabilities() for each in relaxations])
        for index, candidate in enumerate(last[name].candidates):
            axes.plot(
                epochs,
                values[:, index],
                label=str(candidate).replace("_", " "),
                color=COLOURS[index % len(COLOURS)],
                marker="." if len(epochs) == 1 else "",
            )
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_ylim(-0.02, 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.legend(frameon=False, fontsize=8)
        tidy(axes)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("probability", fontsize=10)
    if title:
        figure.suptitle(title)
    return figure


def as_picture(figure: Figure, dpi: int = 100) -> NDArray[np.uint8]:
    """The figure as pixels (H, W, 3) of uint8."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the suffix (.png, .svg, .pdf); the folder must exist.

    Raises:
        OSError: the file cannot be written.
        ValueError: matplotlib does not know the suffix.
    """
    figure.savefig(path, dpi=150)


def roc_curves(curves: Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating]]]) -> Figure:
    """ROC curves by the name of their class: false positive rate and true positive rate of each."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#8A8A8A", linestyle=":", linewidth=1)
    for index, (name, (false_positive_rate, true_positive_rate)) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(false_positive_rate, true_positive_rate, label=name, color=colour, linewidth=1.6)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    tidy(axes)
    return figure


def has_numbers(records: Sequence[Mapping[str, Any]], metric: str) -> bool:
    """Whether any record holds a finite number for the metric."""
    return any(math.isfinite(number(record.get(metric))) for record in records)


def number(value: float | None) -> float:
    """The value, NaN for None."""
    return math.nan if value is None else float(value)


def draw_metrics(
    axes: Axes, records: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]
) -> None:
    """A line for each metric, each with a colour and a marker of its own.

    It passes over the epochs in which the metric was not taken.
    """
    for index, (metric, label) in enumerate(metrics.items()):
        taken = [record for record in records if metric in record]
        axes.plot(
            [float(record["epoch"]) for record in taken],
            [number(record[metric]) for record in taken],
            label=label,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=4,
            markevery=max(1, len(taken) // 12),
            linewidth=1.6,
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)


def draw_probabilities(
    axes: Axes,
    epochs: Sequence[int],
    probabilities: NDArray[np.floating],
    operations: Sequence[str],
) -> None:
    """A line for each operation; ``probabilities`` is (T, O)."""
    styles = operation_styles(operations)
    for operation, values in zip(operations, probabilities.T, strict=True):
        colour, dashes = styles[operation]
        axes.plot(
            epochs,
            values,
            label=operation.replace("_", " "),
            color=colour,
            linestyle=dashes,
            marker="." if len(epochs) == 1 else "",
            linewidth=1.4,
        )
    tidy(axes)


def tidy(axes: Axes) -> None:
    """Only the axes that carry numbers, and a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize=8)


def intermediate_nodes(edges: int) -> int:
    """Intermediate nodes of a complete cell with so many edges: 2 + 3 + ... = edges.

    Raises:
        ValueError: no complete cell has so many edges.
    """
    for nodes in range(1, edges + 1):
        if len(complete_edges(nodes)) == edges:
            return nodes
    raise ValueError(f"no complete cell has {edges} edges: 2, 5, 9, 14, ... were expected")


def node_name(node: int) -> str:
    """The inputs of a cell by their usual names, intermediate nodes counted from 0."""
    return INPUT_NAMES[node] if node < INPUTS else str(node - INPUTS)


def operation_styles(operations: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of each operation."""
    others = [operation for operation in operations if operation not in OPERATION_STYLES]
    styles = dict(OPERATION_STYLES)
    for index, operation in enumerate(others):
        styles[operation] = (COLOURS[(index + 3) % len(COLOURS)], "-.")
    return styles
