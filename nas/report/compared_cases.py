"""Cases of a comparison: one image, its truth, and what each method predicts for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nas.comparison.record import ComparisonTable, Row
from nas.errors import UserError
from nas.metrics.tables import percent
from nas.report.blocks import Block, CaseFigure, Layer, Text, Viewer
from nas.report.cases import (
    Seen,
    case_figure,
    changed,
    chosen_cases,
    layer_uri,
    legend_of,
    look,
    open_bench,
    side_of,
)
from nas.report.gather import Run, defined, number_of

Seens = Mapping[str, Seen]


def compared_cases(
    table: ComparisonTable, runs: Mapping[str, Run], count: int, name: str
) -> Iterator[Block]:
    """Best, median and worst cases of a table by their mean over the methods.

    A method shows the training of its first seed, ``random:N`` the genotype chosen by validation;
    the mean over random genotypes has no prediction of its own.

    Args:
        table: of a comparison.
        runs: of its cells, by name.
        count: how many cases; 0 for none.
        name: of the viewer, unique on the page.
    """
    chosen = chosen_cases(mean_scores(table), count) if count else []
    shown = {row.label: runs[cell] for row, cell in shown_cells(table.rows) if cell in runs}
    if not chosen or not shown:
        reason = "No cases were asked for." if not count else "No training can show its cases."
        yield Text([reason], "missing")
        return
    seen: dict[str, Seens] = {}
    for label, run in shown.items():
        found = _look_at(run, [id for _, id in chosen])
        if isinstance(found, str):
            yield Text([f"{label} cannot show its predictions: {found}"], "missing")
        else:
            yield from changed(found, _scores_of(run))
            seen[label] = found
    if seen:
        legend = legend_of(table.classes, next(iter(seen.values())).values())
        yield Viewer(name, _figures(chosen, seen), legend, _caption(table))


def _caption(table: ComparisonTable) -> str:
    seeds = {row.seeds[0].seed for row in table.rows if row.seeds}
    return (
        f"Of {len(table.cases)} test images, by their score averaged over the methods. Predictions "
        f"are those of seed {', '.join(map(str, sorted(seeds)))}, computed anew."
    )


def mean_scores(table: ComparisonTable) -> dict[str, float | None]:
    """Of each case, the mean of its scores over the rows that have one."""
    scores: dict[str, float | None] = {}
    for place, case in enumerate(table.cases):
        found = defined([row.case_scores[place] for row in table.rows if row.case_scores])
        scores[case] = sum(found) / len(found) if found else None
    return scores


def shown_cells(rows: Sequence[Row]) -> list[tuple[Row, str]]:
    """The cell that stands for each row: of its first seed, where that is a single one."""
    return [
        (row, row.seeds[0].cells[0]) for row in rows if row.seeds and len(row.seeds[0].cells) == 1
    ]


def _look_at(run: Run, ids: Sequence[str]) -> Seens | str:
    """The cases as a run's segmenter sees them; or why it cannot."""
    if not run.evaluations:
        return "it has not been evaluated."
    try:
        bench = open_bench(run, run.evaluations[0])
        return {id: look(bench, id) for id in ids}
    except UserError as error:
        return str(error)


def _scores_of(run: Run) -> dict[str, float | None]:
    return {row["case"]: number_of(row, "mean_iou") for row in run.evaluations[0].cases}


def _figures(chosen: Sequence[tuple[str, str]], seen: Mapping[str, Seens]) -> list[CaseFigure]:
    figures = []
    for place, id in chosen:
        first = next(iter(seen.values()))[id]
        side = side_of(first.image)
        layers = [Layer("image", None), Layer("truth", layer_uri(first.truth, side))]
        layers += [
            Layer(label, layer_uri(each[id].prediction, side), f"{percent(each[id].mean_iou)} %")
            for label, each in seen.items()
        ]
        remark = "mean IoU of each prediction below it"
        figures.append(case_figure(place, id, remark, first.image, layers))
    return figures
