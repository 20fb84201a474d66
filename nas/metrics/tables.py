"""Scores as tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from nas.areas import Areas
    from nas.metrics.intervals import Interval
    from nas.metrics.objects import ObjectScores
    from nas.metrics.score_intervals import MeasureIntervals, ScoreIntervals
    from nas.metrics.semantic import Measure, Scores
    from nas.metrics.surface import MeanDistance, SurfaceSummary

    Numbers = Measure | MeanDistance

POOLED = {"IoU": "iou", "Dice": "dice", "precision": "precision", "recall": "recall"}
"""Heading, and the name of the column in `nas.metrics.semantic.Summary`."""

PER_IMAGE = {"IoU": "iou", "Dice": "dice"}


def score_table(scores: Scores, intervals: ScoreIntervals, ece: float, title: str) -> Table:
    """Scores of all pixels pooled, in %: a row per class and two for the means.

    Below each score stands its interval, where there is one.
    """
    table = _table(title, *POOLED)
    columns = [
        _column(getattr(scores.pooled, name), getattr(intervals.pooled, name), percent)
        for name in POOLED.values()
    ]
    _add_rows(table, scores.classes, columns)
    table.caption = (
        f"All pixels pooled, values in %. {_meaning(scores, intervals)} Pixel accuracy "
        f"{percent(scores.pooled.pixel_accuracy)}. Expected calibration error {percent(ece)}. "
        "'-': undefined, as the class does not occur or is not predicted."
    )
    return table


def image_table(scores: Scores, surface: SurfaceSummary, intervals: ScoreIntervals) -> Table:
    """Means over images: scores in %, distances in pixels; a row per class and two for the means.

    The last column counts images in which a class is missed, and in which it is spurious.
    """
    table = _table(
        "means over images", *PER_IMAGE, "HD95\npixels", "ASSD\npixels", "missed,\nspurious"
    )
    columns = [
        _column(getattr(scores.per_image, name), getattr(intervals.per_image, name), percent)
        for name in PER_IMAGE.values()
    ]
    columns += [
        _column(surface.hd95, intervals.hd95, one_decimal),
        _column(surface.assd, intervals.assd, one_decimal),
    ]
    misses = zip(surface.missed, surface.spurious, strict=True)
    columns.append([*(f"{missed}, {spurious}" for missed, spurious in misses), "", ""])
    _add_rows(table, scores.classes, columns)
    table.caption = (
        "Missed: in the truth and not in the prediction; spurious: the reverse. The distances of "
        "such an image are its diagonal."
    )
    return table


OBJECTS = {
    "F1": "f1",
    "object\nDice": "object_dice",
    "object\nHausdorff": "object_hausdorff",
    "AJI": "aji",
    "PQ": "pq",
    "SQ": "sq",
    "DQ": "dq",
    "SEG": "seg",
}
"""Heading, and the name of the column in `nas.metrics.objects.ObjectMeasures`."""


def object_table(scores: ObjectScores) -> Table:
    """Measures of objects, pooled and as means over images; in %, but Hausdorff in pixels."""
    table = _table("objects", *OBJECTS, first="")
    for name, measures in (("pooled", scores.pooled), ("per image", scores.per_image)):
        values = {column: getattr(measures, column) for column in OBJECTS.values()}
        shown = {column: percent(value) for column, value in values.items()}
        shown["object_hausdorff"] = one_decimal(values["object_hausdorff"])
        table.add_row(name, *shown.values())
    counts = scores.counts
    table.caption = (
        f"{counts.true_objects} objects in {counts.images} images, {counts.predicted_objects} "
        "predicted (connected regions). Values in %, object Hausdorff in pixels."
    )
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
    table = _table("each class against the rest", *AREAS)
    for name, found in areas.items():
        table.add_row(name, *(percent(getattr(found, area)) for area in AREAS.values()))
    return table


def percent(value: float | None) -> str:
    """A share in [0, 1] as percent with one decimal, '-' where it is undefined."""
    return "-" if value is None else f"{100 * value:.1f}"


def one_decimal(value: float | None) -> str:
    """A number with one decimal, '-' where it is undefined."""
    return "-" if value is None else f"{value:.1f}"


def with_interval(
    value: float | None,
    interval: Interval | None,
    write: Callable[[float | None], str],
) -> str:
    """A number and its interval, such as ``91.2`` above ``88.0-93.5``."""
    if interval is None:
        return write(value)
    return f"{write(value)}\n{write(interval.low)}-{write(interval.high)}"


def _table(title: str, *headings: str, first: str = "class") -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column(first, max_width=20)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _column(
    numbers: Numbers, intervals: MeasureIntervals, write: Callable[[float | None], str]
) -> list[str]:
    """A cell for each class, for the mean and for the mean of the foreground."""
    values = (*numbers.per_class, numbers.mean, numbers.mean_foreground)
    bounds = (*intervals.per_class, intervals.mean, intervals.mean_foreground)
    pairs = zip(values, bounds, strict=True)
    return [with_interval(value, interval, write) for value, interval in pairs]


def _add_rows(table: Table, classes: Sequence[str], columns: Sequence[Sequence[str]]) -> None:
    """A row for each class, a line, and two for the means."""
    *rows, mean, mean_foreground = zip(*columns, strict=True)
    for name, row in zip(classes, rows, strict=True):
        table.add_row(name, *row)
    table.add_section()
    table.add_row("mean", *mean)
    table.add_row("mean of foreground", *mean_foreground)


def _meaning(scores: Scores, intervals: ScoreIntervals) -> str:
    if intervals.units < 2:
        return "There is one image or group of images, so no interval."
    drawn = "images" if intervals.units == scores.images else "groups of images"
    return (
        f"Below each score its {100 * intervals.level:g} % interval, by a bootstrap over "
        f"{intervals.units} {drawn}."
    )
