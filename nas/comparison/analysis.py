"""From the cells of a comparison to its tables, tests and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from nas.comparison.cells import Cell, cells_of, draws_of
from nas.comparison.recipe import Recipe, parse_method, plain
from nas.comparison.record import (
    FORMAT,
    VERSION,
    CellResult,
    Comparison,
    ComparisonTable,
    Estimate,
    PairTest,
    Row,
    ScoreName,
    Welch,
    Wilcoxon,
)
from nas.comparison.results import CellFound, Tested, read_cell
from nas.comparison.rows import (
    RowCells,
    mean_cost,
    rows_of,
    short_backbone,
    short_label,
)
from nas.comparison.scores import IN_WORDS
from nas.comparison.statistics import (
    SIGNIFICANCE,
    Resamples,
    by_unit,
    case_scores,
    cohen_d,
    estimate,
    resample,
    resampled_scores,
    seeds_needed,
)
from nas.comparison.verdict import sentence_of, table_verdict
from nas.errors import DataError
from nas.metrics.intervals import LEVEL, RESAMPLES
from nas.metrics.multiple_tests import holm
from nas.metrics.paired_tests import wilcoxon
from nas.metrics.semantic import Values
from nas.metrics.tests_of_means import welch
from nas.runs import environment, now

BOOTSTRAP_SEED = 0
"""The same for all rows, so that the same seeds and cases are drawn for two of them."""

Against = Literal["baseline", "best"]


@dataclass(frozen=True)
class _Scored:
    """A row with its scores resampled.

    Attributes:
        cells: the row's trainings.
        scores: of each seed on all cases.
        resampled: of each seed, (R,).
        of_cases: (N,).
    """

    cells: RowCells
    scores: dict[int, float]
    resampled: dict[int, Values]
    of_cases: Values


@dataclass(frozen=True)
class _Sheet:
    """A table before its tests are corrected for the number of all."""

    dataset: str
    backbone: str
    tested: Tested | None
    rows: list[Row]
    tests: list[PairTest]
    best: str | None
    notes: list[str]


def analyse(recipe: Recipe, name: str, out: Path, command: str) -> Comparison:
    """Everything that can be said of a comparison at present.

    Args:
        recipe: of the comparison.
        name: of the recipe.
        out: its folder.
        command: that goes on with it.

    Raises:
        RunError: a file of a finished cell is missing or damaged.
        DataError: two cells of one data set were tested on different images.
    """
    found = {cell: read_cell(out, cell, recipe.score) for cell in cells_of(recipe)}
    sheets = [
        _sheet(recipe, dataset, backbone, found)
        for dataset in recipe.datasets
        for backbone in recipe.backbones
    ]
    baseline = short_label(parse_method(recipe.chosen_baseline()))
    results = tuple(each.result for each in found.values())
    return Comparison(
        format=FORMAT,
        version=VERSION,
        name=name,
        created=now(),
        score=recipe.score,
        baseline=baseline,
        level=LEVEL,
        resamples=RESAMPLES,
        significance=SIGNIFICANCE,
        complete=all(result.state == "finished" for result in results),
        recipe=plain(recipe),
        **environment(),
        command=command,
        tables=tuple(_finished(sheet, baseline, recipe.score) for sheet in _corrected(sheets)),
        cells=results,
    )


def _sheet(recipe: Recipe, dataset: str, backbone: str, found: Mapping[Cell, CellFound]) -> _Sheet:
    cells = {
        cell: each
        for cell, each in found.items()
        if (cell.dataset, cell.backbone) == (dataset, backbone)
    }
    finished = [each for each in cells.values() if each.tested is not None]
    tested = _same_images(dataset, finished)
    baseline = short_label(parse_method(recipe.chosen_baseline()))
    scored = [
        _scored(row, tested, recipe.score)
        for method in recipe.parsed_methods()
        for row in rows_of(
            method,
            {
                seed: [
                    cells[Cell(dataset, backbone, method.text, draw, seed)]
                    for draw in draws_of(method)
                ]
                for seed in recipe.seeds
            },
        )
    ]
    rows = [_row(each, tested) for each in scored]
    best = _best(rows)
    tests = [
        _test(first, second, against, tested, recipe)
        for first, second, against in _pairs(scored, baseline, best)
    ]
    notes = _notes(rows, best, baseline, tested, [each.result for each in finished])
    return _Sheet(dataset, backbone, tested, rows, tests, best, notes)


def _same_images(dataset: str, finished: Sequence[CellFound]) -> Tested | None:
    """What all finished cells of a data set were tested on; None where there are none."""
    tested = [each.tested for each in finished if each.tested is not None]
    for each in tested:
        if (each.cases, each.classes) != (tested[0].cases, tested[0].classes):
            raise DataError(
                f"The cells of the data set {dataset} were tested on different images or classes: "
                "its files changed in between. Bring them back, or choose another --out."
            )
    return tested[0] if tested else None


def _scored(row: RowCells, tested: Tested | None, score: ScoreName) -> _Scored:
    if tested is None or not row.seeds:
        return _Scored(row, {}, {}, np.full(len(tested.cases) if tested else 0, np.nan))
    drawn = resample(1, tested.groups, RESAMPLES, BOOTSTRAP_SEED)
    pairs = list(zip(row.seeds, row.matrices, strict=True))
    return _Scored(
        row,
        {each.seed: each.score for each in row.seeds},
        {each.seed: resampled_scores(matrices, score, drawn) for each, matrices in pairs},
        case_scores(row.matrices, score),
    )


def _row(scored: _Scored, tested: Tested | None) -> Row:
    cells, seeds = scored.cells, tuple(scored.scores)
    values = list(scored.scores.values())
    return Row(
        label=cells.label,
        method=cells.method,
        kind=cells.kind,
        seeds=cells.seeds,
        score=None if tested is None else _mean(scored, None, seeds, tested),
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        case_scores=tuple(None if np.isnan(value) else float(value) for value in scored.of_cases),
        cost=mean_cost(cells.costs),
        missing=cells.missing,
    )


def _mean(
    first: _Scored, second: _Scored | None, seeds: Sequence[int], tested: Tested
) -> Estimate | None:
    """Mean over seeds of a row, or of its difference from another, with its interval."""
    if not seeds:
        return None
    drawn: Resamples = resample(len(seeds), tested.groups, RESAMPLES, BOOTSTRAP_SEED)
    scores = np.array([first.scores[seed] for seed in seeds])
    resampled = np.stack([first.resampled[seed] for seed in seeds], axis=1)
    if second is not None:
        scores = scores - np.array([second.scores[seed] for seed in seeds])
        resampled = resampled - np.stack([second.resampled[seed] for seed in seeds], axis=1)
    return estimate(scores, resampled, drawn, LEVEL)


def _best(rows: Sequence[Row]) -> str | None:
    scored = [(row.score.value, row.label) for row in rows if row.score is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _pairs(
    scored: Sequence[_Scored], baseline: str, best: str | None
) -> list[tuple[_Scored, _Scored, tuple[Against, ...]]]:
    """Every row with the baseline, and with the best; each pair of rows once."""
    by_label = {each.cells.label: each for each in scored}
    pairs: list[tuple[_Scored, _Scored, tuple[Against, ...]]] = []
    for each in scored:
        label = each.cells.label
        if label != baseline:
            both: tuple[Against, ...] = ("baseline", "best")
            pairs.append((each, by_label[baseline], both if best == baseline else ("baseline",)))
    for each in scored:
        if best not in (None, baseline, each.cells.label) and each.cells.label != baseline:
            pairs.append((each, by_label[str(best)], ("best",)))
    return [
        (first, second, ("baseline", "best") if first.cells.label == best else against)
        for first, second, against in pairs
    ]


def _test(
    first: _Scored,
    second: _Scored,
    against: tuple[Against, ...],
    tested: Tested | None,
    recipe: Recipe,
) -> PairTest:
    """One test, p values not corrected yet and the verdict open."""
    seeds = tuple(seed for seed in first.scores if seed in second.scores)
    values = [list(each.scores.values()) for each in (first, second)]
    over_seeds, why_not_seeds = _welch(values[0], values[1])
    over_cases, why_not_cases = _wilcoxon(first, second, tested)
    differences = [first.scores[seed] - second.scores[seed] for seed in seeds]
    return PairTest(
        first=first.cells.label,
        second=second.cells.label,
        against=against,
        difference=None if tested is None else _mean(first, second, seeds, tested),
        seeds=seeds,
        welch=over_seeds,
        wilcoxon=over_cases,
        welch_reason=why_not_seeds,
        wilcoxon_reason=why_not_cases,
        cohen_d=cohen_d(*values),
        needed=seeds_needed(differences, recipe.smallest_difference / 100),
        verdict="",
    )


def _welch(first: Sequence[float], second: Sequence[float]) -> tuple[Welch | None, str | None]:
    if min(len(first), len(second)) < 2:
        fewest = min(len(first), len(second))
        reason = "a row has no score" if not fewest else "a test over seeds needs two or more"
        return None, reason
    try:
        found = welch(first, second)
    except ValueError:
        return None, "the scores of the seeds have no spread"
    return (
        Welch(
            statistic=found.statistic,
            degrees_of_freedom=found.degrees_of_freedom,
            p=found.p,
            p_adjusted=found.p,
        ),
        None,
    )


def _wilcoxon(
    first: _Scored, second: _Scored, tested: Tested | None
) -> tuple[Wilcoxon | None, str | None]:
    if tested is None or not (first.scores and second.scores):
        return None, "a row has no score"
    defined = ~np.isnan(first.of_cases - second.of_cases)
    groups = [group for group, is_defined in zip(tested.groups, defined, strict=True) if is_defined]
    pairs = [by_unit(each.of_cases[defined], groups) for each in (first, second)]
    if not len(pairs[0]):
        return None, "no case has a score in both rows"
    found = wilcoxon(pairs[0].tolist(), pairs[1].tolist())
    return (
        Wilcoxon(pairs=found.pairs, p=found.p, p_adjusted=found.p, effect_size=found.effect_size),
        None,
    )


def _corrected(sheets: Sequence[_Sheet]) -> list[_Sheet]:
    """The same with p values adjusted for the number of tests of a kind in all tables."""
    tests = [test for sheet in sheets for test in sheet.tests]
    for kind in ("welch", "wilcoxon"):
        places = [place for place, test in enumerate(tests) if getattr(test, kind) is not None]
        adjusted = holm([getattr(tests[place], kind).p for place in places])
        for place, p in zip(places, adjusted, strict=True):
            changed = msgspec.structs.replace(getattr(tests[place], kind), p_adjusted=p)
            tests[place] = msgspec.structs.replace(tests[place], **{kind: changed})
    left = iter(tests)
    return [
        _Sheet(
            sheet.dataset,
            sheet.backbone,
            sheet.tested,
            sheet.rows,
            [next(left) for _ in sheet.tests],
            sheet.best,
            sheet.notes,
        )
        for sheet in sheets
    ]


def _finished(sheet: _Sheet, baseline: str, score: ScoreName) -> ComparisonTable:
    tests = [_with_verdict(test, score) for test in sheet.tests]
    tested = sheet.tested
    return ComparisonTable(
        dataset=sheet.dataset,
        backbone=short_backbone(sheet.backbone),
        classes=tested.classes if tested else (),
        cases=tested.cases if tested else (),
        groups=tested.groups if tested else (),
        rows=tuple(sheet.rows),
        best=sheet.best,
        tests=tuple(tests),
        verdict=table_verdict(sheet.rows, tests, baseline, sheet.best, SIGNIFICANCE),
        notes=tuple(sheet.notes),
    )


def _with_verdict(test: PairTest, score: ScoreName) -> PairTest:
    verdict = sentence_of(
        test.first,
        test.second,
        test.difference,
        test.welch,
        test.welch_reason,
        len(test.seeds),
        IN_WORDS[score],
        SIGNIFICANCE,
    )
    return msgspec.structs.replace(test, verdict=verdict)


def _notes(
    rows: Sequence[Row],
    best: str | None,
    baseline: str,
    tested: Tested | None,
    cells: Sequence[CellResult],
) -> list[str]:
    """What a reader of a table should know."""
    notes = [f"{row.label}: {missing}." for row in rows for missing in row.missing]
    notes = [note.replace("..", ".") for note in notes]
    notes += [
        f"{row.label}: a part was killed before it noted what it took, so its cost is more."
        for row in rows
        if row.cost is not None and not row.cost.complete
    ]
    if len({(cell.seed, cell.initial_state) for cell in cells}) > len({c.seed for c in cells}):
        notes.append(
            "Cells of one seed did not start from the same weights of the segmenter: the versions "
            "or files that made them differ, and they are not comparable."
        )
    if len({cell.split for cell in cells}) > 1:
        notes.append("Cells had different splits: they are not comparable.")
    if tested is not None and len(set(tested.groups)) == 1 and tested.groups[0] is not None:
        notes.append("All test cases are of one group: intervals say nothing of other groups.")
    if best not in (None, baseline):
        notes.append(
            f"{best} is the best on these test images, so tests against it flatter it somewhat."
        )
    return notes
