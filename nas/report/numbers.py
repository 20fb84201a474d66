"""The scores of an evaluation as cards, tables and a plot of intervals, from its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nas.data.summary_charts import histogram
from nas.metrics.tables import AREAS, OBJECTS, PER_IMAGE, POOLED, one_decimal, percent
from nas.report.blocks import Block, Card, Cards, Charts, Table, Text
from nas.report.charts import ACCENT, Chart, Interval, Svg, interval_chart
from nas.report.gather import EvaluationFiles, defined, number_of

Write = Callable[[float | None], str]
MEANS = {"mean": "mean", "mean_foreground": "mean of the foreground"}


def score_cards(evaluation: EvaluationFiles) -> Block:
    """The numbers that a reader looks for first."""
    pooled = evaluation.scores["pooled"]
    intervals = (evaluation.scores.get("intervals") or {}).get("pooled") or {}
    cards = [
        Card(name, f"{percent(_at(pooled, *path))} %", _bounds(_at(intervals, *path), percent))
        for name, path in {
            "mean IoU": ("iou", "mean"),
            "foreground IoU": ("iou", "mean_foreground"),
            "foreground Dice": ("dice", "mean_foreground"),
        }.items()
    ]
    distance = _at(evaluation.scores, "surface", "hd95", "mean_foreground")
    if distance is not None:
        bounds = _at(evaluation.scores, "intervals", "hd95", "mean_foreground")
        cards.append(
            Card("HD95, foreground", f"{one_decimal(distance)} px", _bounds(bounds, one_decimal))
        )
    cards.append(Card("images", str(evaluation.scores["images"]), evaluation.title))
    return Cards(cards)


def score_blocks(evaluation: EvaluationFiles) -> list[Block]:
    """All tables of an evaluation, and its intervals and cases as charts."""
    return [
        _pooled_table(evaluation),
        Charts([_class_intervals(evaluation), *_case_charts(evaluation)]),
        _image_table(evaluation),
        *_object_tables(evaluation),
        *_area_tables(evaluation),
    ]


def _pooled_table(evaluation: EvaluationFiles) -> Table:
    scores = evaluation.scores
    intervals = scores.get("intervals") or {}
    columns = [
        _column(scores["pooled"].get(name), (intervals.get("pooled") or {}).get(name), percent)
        for name in POOLED.values()
    ]
    caption = (
        f"All pixels of {scores['images']} {evaluation.title} pooled, in %"
        f"{_interval_in_words(scores)}. Pixel accuracy "
        f"{percent(scores['pooled'].get('pixel_accuracy'))}, expected calibration error "
        f"{percent(scores.get('ece'))}. '-': undefined."
    )
    return _class_table(scores["classes"], POOLED, columns, caption)


def _interval_in_words(scores: Mapping[str, Any]) -> str:
    intervals = scores.get("intervals")
    if not intervals or intervals["units"] < 2:
        return "; there are no intervals"
    drawn = "images" if intervals["units"] == scores["images"] else "groups of images"
    return (
        f", with {100 * intervals['level']:g} % intervals by a bootstrap over "
        f"{intervals['units']} {drawn}"
    )


def _image_table(evaluation: EvaluationFiles) -> Table:
    scores = evaluation.scores
    intervals = scores.get("intervals") or {}
    surface = scores.get("surface") or {}
    bounds = intervals.get("per_image") or {}
    columns = [
        _column(scores["per_image"].get(name), bounds.get(name), percent)
        for name in PER_IMAGE.values()
    ]
    columns += [
        _column(surface.get(name), intervals.get(name), one_decimal) for name in ("hd95", "assd")
    ]
    columns += [[*map(str, surface[name]), "", ""] if name in surface else [] for name in MISSES]
    heads = [*PER_IMAGE, "HD95, px", "ASSD, px", *MISSES]
    shown = [(head, column) for head, column in zip(heads, columns, strict=True) if column]
    caption = (
        "Means over images: scores in %. Missed: images in which the class is in the truth and not "
        "in the prediction; spurious: the reverse. The distances of such an image are its diagonal."
    )
    return _class_table(
        scores["classes"], [head for head, _ in shown], [column for _, column in shown], caption
    )


MISSES = ("missed", "spurious")


def _class_table(
    classes: Sequence[str],
    heads: Mapping[str, str] | Sequence[str],
    columns: Sequence[Sequence[str]],
    caption: str,
) -> Table:
    names = [*classes, *MEANS.values()]
    rows = [
        [name, *(column[place] for column in columns if column)] for place, name in enumerate(names)
    ]
    return Table(["class", *heads], rows, caption, marked=[len(classes)])


def _column(
    numbers: Mapping[str, Any] | None, bounds: Mapping[str, Any] | None, write: Write
) -> list[str]:
    """A cell per class and two for the means; empty where the measure was not taken."""
    if numbers is None:
        return []
    values = [*numbers["per_class"], *(numbers.get(name) for name in MEANS)]
    bounds = bounds or {}
    ends = [
        *bounds.get("per_class", [None] * len(numbers["per_class"])),
        *(bounds.get(name) for name in MEANS),
    ]
    return [
        f"{write(value)} {_bounds(each, write)}".strip()
        for value, each in zip(values, ends, strict=True)
    ]


def _bounds(ends: Sequence[float] | None, write: Write) -> str:
    return f"[{write(ends[0])}, {write(ends[1])}]" if ends else ""


def _class_intervals(evaluation: EvaluationFiles) -> Chart:
    """IoU of each class and its mean with their intervals, in %."""
    measure = evaluation.scores["pooled"]["iou"]
    bounds = _at(evaluation.scores, "intervals", "pooled", "iou") or {}
    names = evaluation.scores["classes"]
    ends = bounds.get("per_class") or [None] * len(names)
    triples = [
        *zip(names, measure["per_class"], ends, strict=True),
        *((text, measure[name], bounds.get(name)) for name, text in MEANS.items()),
    ]
    rows = [
        Interval(
            name,
            None if value is None else 100 * value,
            None if each is None else 100 * each[0],
            None if each is None else 100 * each[1],
            text=f"{percent(value)} {_bounds(each, percent)}".strip(),
            strong=name == MEANS["mean"],
        )
        for name, value, each in triples
    ]
    return interval_chart("IoU, all pixels pooled", rows, unit="%")


def _case_charts(evaluation: EvaluationFiles) -> Iterator[Chart]:
    values = defined([number_of(row, "mean_iou") for row in evaluation.cases])
    if len(values) > 1:
        title = f"{len(values)} {evaluation.title} by their mean IoU"
        percents = [100 * value for value in values]
        yield Chart(title, Svg(histogram("", percents, "%", ACCENT)))


def _object_tables(evaluation: EvaluationFiles) -> Iterator[Block]:
    objects = evaluation.scores.get("objects")
    if not objects:
        return
    rows = []
    for name, text in (("pooled", "pooled"), ("per_image", "per image")):
        values = {column: objects[name].get(column) for column in OBJECTS.values()}
        shown = {column: percent(value) for column, value in values.items()}
        shown["object_hausdorff"] = one_decimal(values["object_hausdorff"])
        rows.append([text, *shown.values()])
    counts = objects["counts"]
    caption = (
        f"{counts['true_objects']} objects, {counts['predicted_objects']} predicted (connected "
        "regions). In %, object Hausdorff in pixels."
    )
    heads = [name.replace("\n", " ") for name in OBJECTS]
    yield Table(["objects", *heads], rows, caption)


def _area_tables(evaluation: EvaluationFiles) -> Iterator[Block]:
    if not evaluation.areas:
        return
    rows = [
        [name, *(percent(found.get(area)) for area in AREAS.values())]
        for name, found in evaluation.areas.items()
    ]
    heads = [name.replace("\n", " ") for name in AREAS]
    yield Table(["class against the rest", *heads], rows, "In %.")


def no_evaluation(command: str) -> Block:
    """What stands in the place of scores where there are none."""
    return Text(
        [f"This run has not been evaluated, so there are no scores yet. Evaluate it by {command}"],
        "missing",
    )


def _at(tree: Any, *path: str) -> Any:
    """What stands at a path of nested objects; None where there is nothing."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree
