"""Scores as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from nas.areas import Areas
    from nas.metrics.semantic import Measure, Scores

COLUMNS = (
    ("IoU", "pooled", "iou"),
    ("Dice", "pooled", "dice"),
    ("precision", "pooled", "precision"),
    ("recall", "pooled", "recall"),
    ("IoU\nper image", "per_image", "iou"),
    ("Dice\nper image", "per_image", "dice"),
)
"""Heading, and where the column stands in `Scores`."""


def score_table(scores: Scores, title: str) -> Table:
    """A row per class and two for the means, in %; pooled scores, then means over images."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("class", max_width=20)
    for heading, _, _ in COLUMNS:
        table.add_column(heading, justify="right")
    measures: list[Measure] = [getattr(getattr(scores, way), name) for _, way, name in COLUMNS]
    for index, name in enumerate(scores.classes):
        table.add_row(name, *(percent(measure.per_class[index]) for measure in measures))
    table.add_section()
    table.add_row("mean", *(percent(measure.mean) for measure in measures))
    table.add_row("mean of foreground", *(percent(measure.mean_foreground) for measure in measures))
    accuracy = percent(scores.pooled.pixel_accuracy)
    table.caption = f"Values in %. Pixel accuracy {accuracy}. '-': the class does not occur."
    return table


AREAS = {
    "AUC": "roc_auc",
    "AUC\nper image": "roc_auc_per_image",
    "average\nprecision": "average_precision",
    "average precision\nper image": "average_precision_per_image",
}
"""Heading, and the name of the column in `Areas`."""


def area_table(areas: Mapping[str, Areas]) -> Table:
    """A row per class, in %."""
    from rich.table import Table

    table = Table(title="each class against the rest", title_justify="left")
    table.add_column("class", max_width=20)
    for heading in AREAS:
        table.add_column(heading, justify="right")
    for name, found in areas.items():
        table.add_row(name, *(percent(getattr(found, area)) for area in AREAS.values()))
    return table


def percent(value: float | None) -> str:
    """A share in [0, 1] as percent with one decimal, '-' where it is undefined."""
    return "-" if value is None else f"{100 * value:.1f}"
