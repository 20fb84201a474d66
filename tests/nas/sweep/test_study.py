"""Studies: which points are tried, in which order, whatever happens to those who lead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import RunError
from nas.settings import RetrainSettings
from nas.sweep import study as studies
from nas.sweep.dimensions import Choices, Range
from nas.sweep.outcome import outcome_of
from nas.sweep.recipe import SweptRecipe
from nas.sweep.study import (
    Plan,
    counted,
    default_storage,
    give_sign_of_life,
    known_study,
    new_study,
    next_trial,
    open_storage,
    point_of,
    queue_failed,
    running,
)

optuna = pytest.importorskip("optuna")
Sweep = Callable[..., Any]
Recipes = Callable[..., SweptRecipe]

RATE, BATCH = "training.segmenter_lr", "training.batch_size"
GRID = {RATE: [0.1, 0.01], BATCH: [1, 2]}
RANGES = {RATE: {"low": 1e-4, "high": 1.0, "log": True}, BATCH: {"low": 1, "high": 64}}


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "dimensions": {"a": Choices((1, 2)), "b": Choices(("x", "y"))},
        "method": "grid",
        "trials": 4,
        "seeds": (0,),
        "score": "mean_iou",
        "seed": 0,
        "prunes": False,
    }
    return Plan(**(values | changes))


def study_of(of: Plan, folder: Path) -> Any:
    return new_study(open_storage(default_storage(folder)), of)


def points_of(found: Any) -> list[dict[str, Any]]:
    return [trial.point for trial in found.trials]


def rate(settings: RetrainSettings, seed: int) -> list[float]:
    """A score that falls with the distance of the rate from 0.01."""
    return [1 / (1 + abs(settings.training.segmenter_lr - 0.01))]


def test_a_grid_is_tried_in_its_order(sweep: Sweep, recipe_of: Recipes, tmp_path: Path) -> None:
    found = sweep(tmp_path / "out", recipe_of(GRID), rate)
    assert points_of(found) == [
        {RATE: 0.1, BATCH: 1},
        {RATE: 0.1, BATCH: 2},
        {RATE: 0.01, BATCH: 1},
        {RATE: 0.01, BATCH: 2},
    ]


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_points_are_those_of_optunas_own_loop(
    method: str, sweep: Sweep, recipe_of: Recipes, tmp_path: Path
) -> None:
    """The same space in Study.optimize, with a sampler of the place of each trial."""
    samplers = {
        "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=8),
    }
    recipe = recipe_of(ranges=RANGES, method=method, trials=14, seed=3)
    found = sweep(tmp_path / "out", recipe, rate)
    expected = optuna.create_study(direction="maximize")

    def objective(trial: Any) -> float:
        expected.sampler = samplers[method](3 * 1_000_003 + trial.number)
        chosen = trial.suggest_float(RATE, 1e-4, 1.0, log=True)
        trial.suggest_int(BATCH, 1, 64)
        return 1 / (1 + abs(chosen - 0.01))

    expected.optimize(objective, n_trials=14)
    assert points_of(found) == [trial.params for trial in expected.trials]
    assert [trial.score for trial in found.trials] == [trial.value for trial in expected.trials]


def test_tpe_comes_nearer_than_chance(sweep: Sweep, recipe_of: Recipes, tmp_path: Path) -> None:
    def curve(settings: RetrainSettings, seed: int) -> list[float]:
        return [1 - abs(settings.training.segmenter_lr - 0.3)]

    def mean_of_last(method: str) -> float:
        recipe = recipe_of(ranges={RATE: {"low": 0.001, "high": 1.0}}, method=method, trials=30)
        last = points_of(sweep(tmp_path / method, recipe, curve))[-12:]
        return sum(abs(point[RATE] - 0.3) for point in last) / 12

    assert mean_of_last("tpe") < 0.5 * mean_of_last("random")


def test_seeds_draw_different_points(tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        (folder := tmp_path / str(seed)).mkdir()
        of = plan(dimensions={"a": Range(1e-4, 1.0)}, method="random", seed=seed)
        study = study_of(of, folder)
        trial = next_trial(study, of, "me")
        assert trial is not None
        found.append(point_of(study, trial, of)["a"])
    assert found[0] != found[1]
    assert all(1e-4 <= value <= 1 for value in found)


def test_no_more_trials_begin_than_planned_by_any_number_of_workers(tmp_path: Path) -> None:
    for method in ("grid", "random"):
        (folder := tmp_path / method).mkdir()
        of = plan(method=method)
        study = study_of(of, folder)
        begun = [next_trial(study, of, f"worker{number % 2}") for number in range(6)]
        assert [trial is None for trial in begun] == [False] * 4 + [True] * 2
        assert [trial.number for trial in running(study, "worker1")] == [1, 3]


def test_of_two_that_begin_the_last_trial_one_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = plan(method="random", trials=1)
    study = study_of(of, tmp_path)
    ask = type(study).ask

    def both(asked: Any) -> Any:
        monkeypatch.setattr(type(study), "ask", ask)
        asked.ask()
        return asked.ask()

    monkeypatch.setattr(type(study), "ask", both)
    assert next_trial(study, of, "late") is None
    assert [trial.number for trial in counted(study)] == [0]


def test_a_worker_that_fell_silent_is_replaced_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two gives no sign of life for a second: its point is queued again, once."""
    monkeypatch.setattr(studies, "ALIVE_EVERY", 1)
    monkeypatch.setattr(
        "optuna.storages.RDBStorage._get_stale_trial_ids",
        lambda self, study: [silent._trial_id] if not replaced else [],
    )
    replaced: list[int] = []
    of = plan(dimensions={"a": Range(0.0, 1.0)}, method="random", trials=3)
    study = study_of(of, tmp_path)
    alive, silent = (next_trial(study, of, name) for name in ("alive", "silent"))
    assert alive is not None and silent is not None
    points = [point_of(study, trial, of) for trial in (alive, silent)]
    give_sign_of_life(study, [alive])
    replaced.append(silent.number)
    again = next_trial(study, of, "alive")
    assert again is not None
    assert point_of(study, again, of) == points[1]
    assert [trial.number for trial in counted(study)] == [0, 2]
    last = next_trial(study, of, "alive")
    assert last is not None and next_trial(study, of, "alive") is None
    (other := tmp_path / "other").mkdir()
    undisturbed = study_of(of, other)
    for _ in range(3):
        trial = next_trial(undisturbed, of, "alone")
        assert trial is not None
        expected = point_of(undisturbed, trial, of)
    assert point_of(study, last, of) == expected


def test_failed_points_are_tried_again_when_asked(tmp_path: Path) -> None:
    of = plan()
    study = study_of(of, tmp_path)
    for number in range(4):
        trial = next_trial(study, of, "me")
        assert trial is not None
        point_of(study, trial, of)
        if number == 2:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, 0.5)
    queue_failed(study)
    again = next_trial(study, of, "me")
    assert again is not None and point_of(study, again, of) == {"a": 2, "b": "x"}
    study.tell(again, 0.9)
    found = outcome_of(study, of)
    assert [trial.number for trial in found.trials] == [0, 1, 3, 4]
    assert found.best == 4
    queue_failed(study)
    assert next_trial(study, of, "me") is None


def test_a_study_is_made_once(tmp_path: Path) -> None:
    database = open_storage(default_storage(tmp_path))
    assert known_study(database, plan()) is None
    new_study(database, plan(), "so")
    found = known_study(database, plan())
    assert found is not None and found.user_attrs[studies.BEGUN_WITH] == "so"
    with pytest.raises(RunError, match="at the same time"):
        new_study(database, plan())
    assert len(found.trials) == 4


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/missing/sweep.db")


def test_a_database_that_is_lost_is_told(tmp_path: Path) -> None:
    of = plan()
    study = study_of(of, tmp_path)
    told = r"database of the sweep was lost: .* same command again"
    with pytest.raises(RunError, match=told), studies.reaching(study):
        raise optuna.exceptions.StorageInternalError("gone.")
