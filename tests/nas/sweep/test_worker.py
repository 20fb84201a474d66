"""Studies and workers: which points are tried, in which order, whatever happens to the workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import Interrupted, RunError
from nas.sweep.dimensions import Choices, Dimension, Point, Range
from nas.sweep.outcome import comma_separated, ended, markdown, outcome_of, ranked
from nas.sweep.recipe import SweptRecipe
from nas.sweep.study import Method, Plan, default_storage, open_study
from nas.sweep.trial import Pruned, RunFailed, Trials
from nas.sweep.worker import take_one

pytest.importorskip("optuna")

GRID: dict[str, Dimension] = {"a": Choices((1, 2)), "b": Choices(("x", "y"))}
SPACE: dict[str, Dimension] = {"a": Range(1e-4, 1.0, log=True), "n": Range(1, 64)}


def plan(dimensions: dict[str, Dimension], method: Method, **changes: Any) -> Plan:
    settings = {"trials": 4, "seeds": (0,), "score": "mean_iou", "seed": 0, "prunes": False}
    return Plan(dimensions=dimensions, method=method, **(settings | changes))


class FakeTrials(Trials):
    """Trials whose score is a function of the point."""

    score: Callable[[Point], float]

    def run(self, point: Point, trial: Any) -> float:
        """The score, at once."""
        return self.score(point)


def sweep(folder: Path, of: Plan, score: Callable[[Point], float], count: int) -> Any:
    """So many trials by a worker of its own."""
    study = open_study(of, default_storage(folder))
    trials = FakeTrials(folder, SweptRecipe({}, "retrain", of), [])
    object.__setattr__(trials, "score", score)
    for _ in range(count):
        take_one(study, trials)
    return outcome_of(study, of)


def points_of(outcome: Any) -> list[dict[str, Any]]:
    return [trial.point for trial in outcome.trials]


def test_a_grid_is_tried_in_order_by_any_number_of_workers(tmp_path: Path) -> None:
    of = plan(GRID, "grid")
    sweep(tmp_path, of, lambda point: 0.5, 3)
    found = sweep(tmp_path, of, lambda point: 0.5, 1)
    assert points_of(found) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert ended(found) == 4


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_stopping_changes_no_point(tmp_path: Path, method: Method) -> None:
    of = plan(SPACE, method)
    apart, whole = tmp_path / "apart", tmp_path / "whole"
    apart.mkdir(), whole.mkdir()
    score = lambda point: -float(point["a"])  # noqa: E731
    for _ in range(3):
        sweep(apart, of, score, 4)
    assert points_of(sweep(apart, of, score, 0)) == points_of(sweep(whole, of, score, 12))


def test_seeds_draw_different_points(tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        (folder := tmp_path / str(seed)).mkdir()
        found.append(points_of(sweep(folder, plan(SPACE, "random", seed=seed), lambda p: 0.0, 2)))
    assert found[0] != found[1]
    assert all(1e-4 <= p["a"] <= 1 and 1 <= p["n"] <= 64 for run in found for p in run)


def test_tpe_comes_nearer_than_chance(tmp_path: Path) -> None:
    def mean_of_last(method: Method) -> float:
        (folder := tmp_path / method).mkdir()
        of = plan({"a": Range(0.0, 1.0)}, method)
        found = sweep(folder, of, lambda point: -abs(float(point["a"]) - 0.3), 40)
        return sum(abs(p["a"] - 0.3) for p in points_of(found)[-15:]) / 15

    assert mean_of_last("tpe") < 0.5 * mean_of_last("random")


@pytest.mark.parametrize(("score", "best"), [("mean_iou", 3), ("val_loss", 0)])
def test_the_best_is_the_largest_or_the_smallest(tmp_path: Path, score: str, best: int) -> None:
    values = iter([0.1, 0.2, 0.3, 0.9])
    found = sweep(tmp_path, plan(GRID, "grid", score=score), lambda point: next(values), 4)
    assert found.best == best
    assert ranked(found)[0].number == best


def test_a_failure_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    def score(point: Point) -> float:
        if point == {"a": 1, "b": "y"}:
            raise RunFailed("nas-retrain: no such thing.")
        return 0.5

    found = sweep(tmp_path, plan(GRID, "grid"), score, 4)
    assert [trial.state for trial in found.trials] == ["done", "failed", "done", "done"]
    assert found.trials[1].reason == "nas-retrain: no such thing."
    assert "no such thing" in markdown(found) and "no such thing" in comma_separated(found)


def test_a_pruned_trial_is_over_and_never_the_best(tmp_path: Path) -> None:
    def score(point: Point) -> float:
        if point["a"] == 2:
            raise Pruned
        return 0.1

    found = sweep(tmp_path, plan(GRID, "grid"), score, 4)
    assert [trial.state for trial in found.trials] == ["done", "done", "pruned", "pruned"]
    assert found.best in (0, 1) and ended(found) == 4


def test_an_interrupted_point_is_the_next_one(tmp_path: Path) -> None:
    of = plan(GRID, "grid")
    sweep(tmp_path, of, lambda point: 0.5, 1)

    def interrupted(point: Point) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal comes first")

    with pytest.raises(Interrupted) as stopped:
        sweep(tmp_path, of, interrupted, 1)
    assert stopped.value.exit_code == 143
    tried: list[Point] = []

    def note(point: Point) -> float:
        tried.append(point)
        return 0.5

    found = sweep(tmp_path, of, note, 3)
    assert {"a": 1, "b": "y"} in tried
    assert len(tried) == ended(found) - 1 == 3
    assert sorted(map(str, points_of(found))) == sorted(map(str, ALL))


ALL = [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]


def test_importance_is_where_the_score_changes(tmp_path: Path) -> None:
    dimensions: dict[str, Dimension] = {"a": Range(0.0, 1.0), "idle": Range(0.0, 1.0)}
    found = sweep(tmp_path, plan(dimensions, "random"), lambda point: float(point["a"]), 20)
    assert list(found.importance) == ["a", "idle"]
    assert found.importance["a"] > 0.9
    assert abs(sum(found.importance.values()) - 1) < 1e-9


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be opened"):
        open_study(plan(GRID, "grid"), f"sqlite:///{tmp_path}/missing/sweep.db")
