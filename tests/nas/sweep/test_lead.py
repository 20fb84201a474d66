"""The lead: what it hands to engines, what it tells the study, stops and goes on."""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nas.engines import FOLDER, Job, Outcome
from nas.errors import RunError
from nas.settings import RetrainSettings
from nas.sweep.lead import Lead
from nas.sweep.outcome import Outcome as Found
from nas.sweep.outcome import outcome_of
from nas.sweep.recipe import SweptRecipe
from nas.sweep.study import default_storage, known_study, new_study, open_storage
from nas.sweep.trial import PRUNED_FILE, read_plan, run_of

pytest.importorskip("optuna")

Recipes = Callable[..., SweptRecipe]
RATE, BATCH = "training.segmenter_lr", "training.batch_size"
GRID = {RATE: [0.1, 0.01], BATCH: [1, 2]}


def write_run(folder: Path, seed: int, scores: Sequence[float], finished: bool = True) -> None:
    """What a run leaves behind."""
    run = run_of(folder, seed)
    run.path.mkdir(parents=True, exist_ok=True)
    lines = (
        msgspec.json.encode({"epoch": n, "mean_iou": score, "seconds": 10.0 * n}).decode()
        for n, score in enumerate(scores, start=1)
    )
    run.metrics_file.write_text("".join(f"{line}\n" for line in lines))
    ending = {"finished": "now", "seconds": 10.0 * len(scores)} if finished else {}
    run.record_file.write_bytes(msgspec.json.encode(ending))


def ended(job: Job, code: int = 0, reason: str | None = None) -> Outcome:
    return Outcome(
        job=job, exit_code=code, reason=reason, seconds=1.0, peak_memory=None, retried=False
    )


class Engine:
    """Takes so many jobs at a time, and ends the first of them by a function."""

    def __init__(self, work: Callable[[Job], Outcome], slots: int = 1) -> None:
        self.work = work
        self.slots = slots
        self.taken: list[Job] = []
        self.most = 0

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome]:
        waiting, now = iter(jobs), list[Job]()
        while True:
            while len(now) < self.slots and (job := next(waiting, None)) is not None:
                now.append(job)
                self.taken.append(job)
            self.most = max(self.most, len(now))
            if not now:
                return
            yield self.work(now.pop(0))


def lead(folder: Path, recipe: SweptRecipe, engine: Engine) -> Found:
    folder.mkdir(exist_ok=True)
    database = open_storage(default_storage(folder))
    study = known_study(database, recipe.plan) or new_study(database, recipe.plan)
    Lead(folder, recipe, study, look_every=0.02).run(engine, lambda: None)
    return outcome_of(study, recipe.plan)


def settings_of(job: Job) -> RetrainSettings:
    settings = read_plan(job.folder).settings
    assert isinstance(settings, RetrainSettings)
    return settings


def good(job: Job) -> Outcome:
    """Two epochs whose scores are the rate, and so much more as the seed says."""
    rate = settings_of(job).training.segmenter_lr
    for seed in read_plan(job.folder).seeds:
        write_run(job.folder, seed, [rate / 2, rate + seed])
    return ended(job)


def test_a_job_is_a_folder_with_its_settings(recipe_of: Recipes, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("{}")
    recipe = recipe_of(GRID, passed_on=["--split", str(tmp_path / "split.json")], seeds=[3, 5])
    engine = Engine(good)
    found = lead(tmp_path / "out", recipe, engine)
    first = engine.taken[0]
    assert first.folder == tmp_path / "out/runs/segmenter_lr-0.1_batch_size-1"
    assert first.command == (sys.executable, "-m", "nas.cli.sweep_trial", FOLDER)
    assert first.inputs == (tmp_path / "split.json",)
    plan = read_plan(first.folder)
    assert plan.seeds == (3, 5)
    assert plan.settings.training.segmenter_lr == 0.1
    assert plan.settings.training.batch_size == 1
    assert "seed = 3" in (first.folder / "recipe.toml").read_text()
    by_hand = {0.1: (3.1 + 5.1) / 2, 0.01: (3.01 + 5.01) / 2}
    assert [trial.score for trial in found.trials] == [
        pytest.approx(by_hand[float(trial.point[RATE])]) for trial in found.trials
    ]
    assert found.trials[0].scores == pytest.approx((3.1, 5.1))
    assert found.trials[0].seconds == 40.0


def test_what_failed_is_recorded_and_the_rest_goes_on(recipe_of: Recipes, tmp_path: Path) -> None:
    def work(job: Job) -> Outcome:
        batch = settings_of(job).training.batch_size
        return ended(job, 5, "It is so.") if batch == 2 else good(job)

    found = lead(tmp_path / "out", recipe_of(GRID), Engine(work))
    assert [trial.state for trial in found.trials] == ["done", "failed", "done", "failed"]
    assert [trial.reason for trial in found.trials] == [None, "It is so."] * 2
    assert found.best == 0


def test_a_run_without_scores_has_failed(recipe_of: Recipes, tmp_path: Path) -> None:
    def work(job: Job) -> Outcome:
        write_run(job.folder, 0, [])
        return ended(job)

    found = lead(tmp_path / "out", recipe_of(GRID), Engine(work))
    assert {trial.state for trial in found.trials} == {"failed"}
    assert "has no mean_iou" in str(found.trials[0].reason)


class Stop(BaseException):
    """Raised where somebody stops a sweep."""


@pytest.mark.parametrize(
    ("space", "own"),
    [
        ({"grid": GRID}, {}),
        ({"ranges": {RATE: {"low": 1e-3, "high": 1.0}}}, {"method": "random", "trials": 12}),
        ({"ranges": {RATE: {"low": 1e-3, "high": 1.0}}}, {"method": "tpe", "trials": 12}),
    ],
)
def test_stops_change_nothing(
    space: dict[str, Any], own: dict[str, Any], recipe_of: Recipes, tmp_path: Path
) -> None:
    """Stopped in the middle of every third trial, and gone on with."""
    recipe = recipe_of(**space, **own)
    whole = lead(tmp_path / "whole", recipe, Engine(good))
    count = 0

    def stopped(job: Job) -> Outcome:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise Stop
        return good(job)

    while True:
        try:
            apart = lead(tmp_path / "apart", recipe, Engine(stopped))
            break
        except Stop:
            continue
    assert count > len(whole.trials)
    assert apart == whole


def test_a_trial_that_somebody_stopped_goes_on_the_next_time(
    recipe_of: Recipes, tmp_path: Path
) -> None:
    count = 0

    def work(job: Job) -> Outcome:
        nonlocal count
        count += 1
        return ended(job, 143, "Stopped.") if count == 2 else good(job)

    recipe = recipe_of(GRID)
    first = lead(tmp_path / "out", recipe, Engine(work))
    assert [trial.state for trial in first.trials] == ["done", "running", "done", "done"]
    engine = Engine(good)
    second = lead(tmp_path / "out", recipe, engine)
    assert [job.name for job in engine.taken] == ["segmenter_lr-0.1_batch_size-2"]
    assert second == lead(tmp_path / "whole", recipe, Engine(good))


def test_a_trial_of_another_folder_is_left_to_it(recipe_of: Recipes, tmp_path: Path) -> None:
    """Two leads share a study; the first is stopped, and the second does the rest alone."""
    recipe = recipe_of(GRID)
    shared = open_storage(f"sqlite:///{tmp_path}/shared.db")
    study = new_study(shared, recipe.plan)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()

    def stop(job: Job) -> Outcome:
        raise Stop

    with pytest.raises(Stop):
        Lead(folders[0], recipe, study).run(Engine(stop), lambda: None)
    engine = Engine(good)
    Lead(folders[1], recipe, study).run(engine, lambda: None)
    states = [trial.state for trial in outcome_of(study, recipe.plan).trials]
    assert states == ["running", "done", "done", "done"]
    Lead(folders[0], recipe, study).run(Engine(good), lambda: None)
    assert {trial.state for trial in outcome_of(study, recipe.plan).trials} == {"done"}
    assert len(engine.taken) == 3


def test_a_point_that_is_drawn_twice_is_run_once(recipe_of: Recipes, tmp_path: Path) -> None:
    """Nine draws from two points, three at a time, and afterwards in a folder that has both."""
    recipe = recipe_of({BATCH: [1, 2]}, method="random", trials=9)
    engine = Engine(good, slots=3)
    found = lead(tmp_path / "out", recipe, engine)
    assert len(engine.taken) == 2
    assert engine.most == 2
    assert len(found.trials) == 9
    assert {trial.state for trial in found.trials} == {"done"}


def curves(count: int, epochs: int) -> list[list[float]]:
    generator = random.Random(1)
    return [[round(generator.random(), 3) for _ in range(epochs)] for _ in range(count)]


def pruned_by_hand(scores: list[list[float]]) -> list[float | None]:
    """The score at which each trial is stopped, None where it comes to its end.

    From the sixth on: where the best so far is below the median of the finished at that epoch.
    """
    finished: list[list[float]] = []
    stopped: list[float | None] = []
    for curve in scores:
        at: float | None = None
        for epoch, value in enumerate(curve):
            others = [each[epoch] for each in finished]
            if len(finished) >= 5 and max(curve[: epoch + 1]) < statistics.median(others):
                at = value
                break
        stopped.append(at)
        if at is None:
            finished.append(curve)
    return stopped


@pytest.mark.parametrize("watched", [False, True])
def test_pruning_is_that_by_hand_however_late_it_is_seen(
    watched: bool, recipe_of: Recipes, tmp_path: Path
) -> None:
    """At the end of a run, or while it trains: as epochs come, until the file is there."""
    scores = curves(16, 5)
    place = iter(range(16))
    seen: list[bool] = []

    def work(job: Job) -> Outcome:
        curve = scores[next(place)]
        for epochs in range(1, 6) if watched else [5]:
            write_run(job.folder, 0, curve[:epochs], finished=epochs == 5)
            if watched:
                seen.append(wait_for(job.folder / PRUNED_FILE))
                if seen[-1]:
                    return ended(job, 0)
        return ended(job)

    def wait_for(path: Path) -> bool:
        until = time.monotonic() + 0.2
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        return path.exists()

    recipe = recipe_of({BATCH: list(range(1, 17))}, prune=True)
    found = lead(tmp_path / "out", recipe, Engine(work))
    expected = pruned_by_hand(scores)
    assert any(each is not None for each in expected[5:])
    states = ["done" if each is None else "pruned" for each in expected]
    assert [trial.state for trial in found.trials] == states
    for trial, curve, stopped in zip(found.trials, scores, expected, strict=True):
        assert trial.score == (max(curve) if stopped is None else stopped)
    assert any(seen) == watched


def test_without_pruning_all_come_to_their_ends(recipe_of: Recipes, tmp_path: Path) -> None:
    scores = curves(16, 5)
    place = iter(range(16))

    def work(job: Job) -> Outcome:
        write_run(job.folder, 0, scores[next(place)])
        return ended(job)

    recipe = recipe_of({BATCH: list(range(1, 17))})
    found = lead(tmp_path / "out", recipe, Engine(work))
    assert {trial.state for trial in found.trials} == {"done"}


def test_a_run_of_other_settings_in_the_folder_is_told(recipe_of: Recipes, tmp_path: Path) -> None:
    lead(tmp_path / "out", recipe_of(GRID), Engine(good))
    folder = tmp_path / "out/runs/segmenter_lr-0.1_batch_size-1/seed-0"
    (folder / "settings.toml").write_text("")
    (folder / "run.json").write_text("{}")
    (tmp_path / "out/sweep.db").unlink()
    with pytest.raises(RunError, match=r"begun with training.epochs = 2, and now it is 7"):
        lead(tmp_path / "out", recipe_of(GRID, passed_on=["--epochs", "7"]), Engine(good))
    lead(tmp_path / "out", recipe_of(GRID, passed_on=["--threads", "3"]), Engine(good))


def test_no_thread_is_left(recipe_of: Recipes, tmp_path: Path) -> None:
    before = threading.active_count()
    lead(tmp_path / "out", recipe_of(GRID), Engine(good))
    assert threading.active_count() == before


def test_settings_that_cannot_be_fail_their_trial(recipe_of: Recipes, tmp_path: Path) -> None:
    """Of ranges only the lowest point is looked at beforehand."""
    recipe = recipe_of({BATCH: [1, 0]}, method="random", trials=6)
    found = lead(tmp_path / "out", recipe, Engine(good))
    reasons = {trial.point[BATCH]: trial.reason for trial in found.trials}
    assert reasons[1] is None
    assert "batch_size" in str(reasons[0])
