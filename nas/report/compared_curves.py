"""Curves of the trainings of a comparison: a line per method, pale ones for its seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nas.comparison.record import CellResult
from nas.plots import COLOURS, has_numbers
from nas.report.blocks import Block, Charts, Table, Text
from nas.report.charts import Chart, Line, line_chart
from nas.report.curves import css_colour, series
from nas.report.gather import Run

CURVES = {
    "mean_iou": "Mean IoU on the validation images",
    "segmenter_loss": "Loss of the segmenter",
    "discriminator_loss": "Loss of the discriminator",
}
HEALTH = {
    "real_accuracy": "Real taken for real",
    "fake_accuracy": "Fake taken for fake",
    "by_softness": "Told by softness",
}
SHARES = ("mean_iou", "real_accuracy", "fake_accuracy")

Runs = Mapping[str, Run]
GONE = "The folders of the trainings are not here, so there are no curves."


def curve_blocks(cells: Sequence[CellResult], runs: Runs) -> Iterator[Block]:
    """How the trainings of a table went."""
    charts = _charts(cells, runs, CURVES)
    caption = "A method's mean over its trainings that reached the epoch; pale: each training."
    yield Charts(charts, caption=caption) if charts else Text([GONE], "missing")


def health_blocks_of(cells: Sequence[CellResult], runs: Runs) -> Iterator[Block]:
    """How the discriminators of a table fared: curves, and what each run said in the end."""
    charts = _charts(cells, runs, HEALTH)
    if charts:
        yield Charts(charts)
    told = [
        [cell.name, str(summary)]
        for cell in cells
        if cell.name in runs and (summary := runs[cell.name].record.get("health"))
    ]
    if told:
        yield Table(["training", "in its words"], told, numbers=False)
    if not charts and not told:
        yield Text(["No discriminator was examined."], "missing")


def _charts(cells: Sequence[CellResult], runs: Runs, titles: Mapping[str, str]) -> list[Chart]:
    charts = []
    for metric, title in titles.items():
        lines = list(_lines(cells, runs, metric))
        if lines:
            charts.append(line_chart(title, lines, shares=metric in SHARES))
    return charts


def _lines(cells: Sequence[CellResult], runs: Runs, metric: str) -> Iterator[Line]:
    methods = list(dict.fromkeys(cell.method for cell in cells))
    for place, method in enumerate(methods):
        colour = css_colour(COLOURS[place % len(COLOURS)])
        found = [
            (cell.name, series(run.records, metric))
            for cell in cells
            if cell.method == method
            and (run := runs.get(cell.name))
            and has_numbers(run.records, metric)
        ]
        if len(found) > 1:
            yield from (Line(name, points, colour, faint=True) for name, points in found)
        if found:
            yield Line(method, mean_of([points for _, points in found]), colour)


def mean_of(
    curves: Sequence[Sequence[tuple[float, float | None]]],
) -> list[tuple[float, float | None]]:
    """At each epoch that a curve has, the mean of those that have a number there; else None."""
    values: dict[float, list[float]] = {}
    for curve in curves:
        for epoch, value in curve:
            values.setdefault(epoch, []).extend([] if value is None else [value])
    return [(x, sum(each) / len(each) if each else None) for x, each in sorted(values.items())]
