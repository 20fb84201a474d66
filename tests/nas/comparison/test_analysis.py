"""Tables and tests of cells that were written by hand, against scipy and sums by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind, wilcoxon

from nas.comparison.statistics import seeds_needed
from nas.errors import DataError, RunError
from nas.runs import RunFolder

HITS = {
    "none": [[60, 62, 70, 66], [61, 60, 69, 70], [58, 65, 72, 61]],
    "patchgan?width=4": [[64, 66, 71, 70], [67, 69, 72, 71], [66, 65, 76, 72]],
    "search": [[80, 82, 85, 84], [81, 85, 83, 86], [79, 84, 88, 84]],
}
"""Right pixels of 100 in each class, of each seed, of four cases in the groups p, p, q and none."""


def iou_of(hits: Sequence[int]) -> float:
    """Pooled mean IoU of cases with so many right pixels of 100 in each class."""
    return float(np.sum(hits) / (200 * len(hits) - np.sum(hits)))


def means(seeds: Sequence[Sequence[int]]) -> list[float]:
    """Of each seed."""
    return [iou_of(hits) for hits in seeds]


def fill(made: Any) -> Any:
    """All cells finished; of the random genotypes the first is better on test, the second on
    validation."""
    for method, seeds in HITS.items():
        for cell in made.cells(method):
            made.finish(cell, seeds[cell.seed], val=[50, 50])
    for cell in made.cells("random:2"):
        better = 5 * (cell.draw == 0)
        made.finish(cell, [60 + better + cell.seed] * 4, val=[70 - better] * 2)
    return made


@pytest.fixture
def full(bench: Callable[..., Any]) -> Any:
    return fill(bench())


def test_rows_are_means_over_seeds_in_the_order_of_the_recipe(full: Any) -> None:
    (table,) = full.comparison().tables
    assert [row.label for row in table.rows] == [
        *("none", "patchgan?width=4", "random:2, mean", "random:2, best by validation"),
        "searched",
    ]
    rows = {row.label: row for row in table.rows}
    for label, method in (("none", "none"), ("searched", "search")):
        expected = means(HITS[method])
        row = rows[label]
        assert [each.score for each in row.seeds] == pytest.approx(expected)
        assert row.score.value == pytest.approx(np.mean(expected))
        assert row.spread == pytest.approx(np.std(expected, ddof=1))
        assert row.score.low < row.score.value < row.score.high
    assert table.best == "searched"
    assert rows["none"].case_scores == pytest.approx(
        [np.mean([iou_of([seed[case]]) for seed in HITS["none"]]) for case in range(4)]
    )


def test_the_best_of_random_is_chosen_on_validation_and_scored_on_test(full: Any) -> None:
    (table,) = full.comparison().tables
    rows = {row.label: row for row in table.rows}
    best = rows["random:2, best by validation"]
    assert [each.score for each in best.seeds] == pytest.approx(
        means([[60 + s] * 4 for s in range(3)])
    )
    assert [each.cells[0].rpartition("/")[2] for each in best.seeds] == ["random-01"] * 3
    mean = rows["random:2, mean"]
    expected = [np.mean(means([[65 + s] * 4, [60 + s] * 4])) for s in range(3)]
    assert [each.score for each in mean.seeds] == pytest.approx(expected)
    assert mean.cost.seconds == 60
    assert best.cost.seconds == 120
    assert best.cost.peak_memory == 10**8 + 2


def test_p_values_are_scipys_and_holms(full: Any) -> None:
    comparison = full.comparison()
    (table,) = comparison.tables
    tests = {(test.first, test.second): test for test in table.tests}
    assert set(tests) == {
        *((row.label, "none") for row in table.rows[1:]),
        *((row.label, "searched") for row in table.rows[1:4]),
    }
    assert tests["searched", "none"].against == ("baseline", "best")
    assert tests["patchgan?width=4", "searched"].against == ("best",)
    one = tests["patchgan?width=4", "none"]
    first, second = (means(HITS[name]) for name in ("patchgan?width=4", "none"))
    assert one.difference.value == pytest.approx(np.mean(first) - np.mean(second))
    paired = [a - b for a, b in zip(first, second, strict=True)]
    assert one.needed == seeds_needed(paired, 0.01)
    assert one.cohen_d == pytest.approx(
        (np.mean(first) - np.mean(second))
        / np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)
    )
    assert one.welch.p == pytest.approx(ttest_ind(first, second, equal_var=False).pvalue)
    units = [
        [
            np.mean([iou_of([seed[case]]) for case in unit for seed in HITS[name]])
            for unit in ((0, 1), (2,), (3,))
        ]
        for name in ("patchgan?width=4", "none")
    ]
    assert one.wilcoxon.pairs == 3
    assert one.wilcoxon.p == pytest.approx(wilcoxon(*units, method="exact").pvalue)
    for kind in ("welch", "wilcoxon"):
        found = sorted((getattr(test, kind) for test in table.tests), key=lambda each: each.p)
        running = 0.0
        for place, each in enumerate(found):
            running = min(1.0, max(running, each.p * (len(found) - place)))
            assert each.p_adjusted == pytest.approx(running)


def test_all_tables_are_corrected_together(bench: Callable[..., Any]) -> None:
    datasets = {"mine": {"dataset": "phantom"}, "other": {"dataset": "phantom"}}
    comparison = fill(bench(datasets=datasets)).comparison()
    tests = [test for table in comparison.tables for test in table.tests]
    assert len(tests) == 14
    smallest = min(tests, key=lambda test: test.welch.p).welch
    assert smallest.p_adjusted == pytest.approx(min(1.0, 14 * smallest.p))


def test_a_search_that_pays_is_told(full: Any) -> None:
    (table,) = full.comparison().tables
    gain = 100 * (np.mean(means(HITS["search"])) - np.mean(means(HITS["none"])))
    assert table.verdict[0].startswith(f"searched beats none by {gain:.1f} points mIoU [")
    assert "flatter" in table.notes[-1]
    assert full.comparison().complete


def test_what_failed_and_what_is_missing_is_said(full: Any) -> None:
    failed, missing = full.cells("search")[1], full.cells("random:2")[4]
    full.outcome(failed, 5, "Out of memory: lower it.", retried=True)
    (missing.folder(full.out) / "outcome.json").unlink()
    comparison = full.comparison()
    (table,) = comparison.tables
    rows = {row.label: row for row in table.rows}
    assert rows["searched"].missing == (
        "seed 1 failed with exit code 5, tried twice: Out of memory: lower it.",
    )
    assert [each.seed for each in rows["searched"].seeds] == [0, 2]
    assert rows["random:2, mean"].missing == ("seed 2, genotype 0 has not come to an end",)
    assert rows["random:2, mean"].seeds[2].score == pytest.approx(iou_of([62] * 4))
    assert any("Out of memory: lower it." in note for note in table.notes)
    test = next(test for test in table.tests if test.first == "searched")
    assert test.seeds == (0, 2)
    assert "fewer than 3" in test.needed.reason
    assert not comparison.complete
    states = [cell.state for cell in comparison.cells]
    assert (states.count("failed"), states.count("missing")) == (1, 1)


def test_with_no_cell_finished_there_is_a_comparison_all_the_same(
    bench: Callable[..., Any],
) -> None:
    comparison = bench().comparison()
    (table,) = comparison.tables
    assert table.best is None
    assert table.verdict[0] == "No method has a score yet."
    assert all(test.welch is None and test.difference is None for test in table.tests)


def test_one_seed_is_not_tested(bench: Callable[..., Any]) -> None:
    (table,) = fill(bench(seeds=[0])).comparison().tables
    assert "cannot be told apart with 1 seed" in table.verdict[0]
    assert all(test.welch is None and test.wilcoxon is not None for test in table.tests)


def test_without_validation_images_nothing_is_chosen(full: Any) -> None:
    for cell in full.cells("random:2"):
        shutil.rmtree(cell.folder(full.out) / "evaluation/val")
    (table,) = full.comparison().tables
    best = next(row for row in table.rows if row.kind == "random best")
    assert best.score is None
    assert best.missing[0] == "seed 0 has no validation images to choose by"


def test_cells_that_did_not_start_equal_are_told(full: Any) -> None:
    assert not any("start from the same" in note for note in full.comparison().tables[0].notes)
    cell = full.cells("search")[0]
    RunFolder(cell.folder(full.out)).record(initial_segmenter="others")
    notes = full.comparison().tables[0].notes
    assert any("start from the same" in note for note in notes)


def test_other_images_and_missing_files_are_refused(full: Any) -> None:
    cell = full.cells("none")[0]
    path = cell.folder(full.out) / "evaluation/test/confusions.json"
    text = path.read_text()
    path.write_text(text.replace("case0", "case9"))
    with pytest.raises(DataError, match="different images"):
        full.comparison()
    path.unlink()
    with pytest.raises(RunError, match=r"confusions\.json"):
        full.comparison()
