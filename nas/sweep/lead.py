"""Leads a sweep: asks its study for points, has an engine run them, and tells it what came out.

The study is reached from this process alone; the processes of trials know their own folders. So
trials run wherever an engine runs jobs, and come back as folders. Several leads, each with a folder
of its own, may share a study.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from nas.comparison.running import STOPPED
from nas.engines import FOLDER, Engine, Job, Outcome
from nas.errors import UserError
from nas.inputs import inputs_of
from nas.runs import atomic_write
from nas.sweep.dimensions import point_name
from nas.sweep.recipe import SweptRecipe
from nas.sweep.study import (
    ALIVE_EVERY,
    give_sign_of_life,
    next_trial,
    point_of,
    reaching,
    running,
)
from nas.sweep.trial import (
    PRUNED_FILE,
    NoScore,
    all_finished,
    best_scores,
    run_of,
    scores_of,
    seconds_of,
    write_plan,
)

if TYPE_CHECKING:
    from optuna import Study, Trial

LOOK_EVERY = 0.5
"""Seconds between two looks at what runs have recorded."""
RECIPE_FILE = "recipe.toml"
"""In the folder of a trial, the settings of its first run, which work as --config."""
WORKER_FILE = ".worker"


def worker_of(folder: Path) -> str:
    """Who works on trials in a folder: a word of its own, kept in it."""
    path = folder / WORKER_FILE
    if not path.exists():
        with atomic_write(path) as stream:
            stream.write(uuid.uuid4().hex.encode())
    return path.read_text()


@dataclass
class Lead:
    """Leads the trials of one folder.

    Attributes:
        folder: of the sweep; trials are below its ``runs``.
        recipe: what is swept.
        study: of the sweep.
        look_every: seconds between two looks at what runs have recorded.
    """

    folder: Path
    recipe: SweptRecipe
    study: Study
    look_every: float = LOOK_EVERY
    _running: dict[str, list[Trial]] = field(default_factory=dict)
    _reported: dict[int, int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def run(self, engine: Engine, tell: Callable[[], None]) -> None:
        """Bring trials to their end, those first that this folder began before.

        Args:
            engine: that runs them.
            tell: called when one has ended.

        Raises:
            RunError: a file cannot be written, or the study's database was lost.
        """
        with (
            reaching(self.study),
            self._watched(),
            closing(engine.run(self._jobs())) as outcomes,
        ):
            for outcome in outcomes:
                with self._lock:
                    self._take(outcome)
                tell()
            tell()

    def _jobs(self) -> Iterator[Job]:
        worker = worker_of(self.folder)
        for trial in running(self.study, worker):
            yield from self._begin(trial)
        while True:
            with self._lock:
                give_sign_of_life(self.study, self._all_running())
                new = next_trial(self.study, self.recipe.plan, worker)
            if new is None:
                return
            yield from self._begin(new)

    def _begin(self, trial: Trial) -> Iterator[Job]:
        """The job of a trial; none where its point runs already, or has been run."""
        with self._lock:
            job = self._job(trial)
        if job is not None:
            yield job

    def _job(self, trial: Trial) -> Job | None:
        point = point_of(self.study, trial, self.recipe.plan)
        name = point_name(point)
        folder = self.folder / "runs" / name
        if name in self._running:
            self._running[name].append(trial)
            return None
        self._running[name] = [trial]
        try:
            plan = self.recipe.plan_at(point)
        except UserError as error:
            self._fail(name, str(error), 0.0)
            return None
        if self._is_worse(trial, folder):
            self._prune(name, folder)
        elif all_finished(folder, plan.seeds):
            self._finish(name, folder)
        else:
            (folder / PRUNED_FILE).unlink(missing_ok=True)
            write_plan(plan, folder)
            with atomic_write(folder / RECIPE_FILE) as stream:
                stream.write(tomli_w.dumps(self.recipe.tables_at(point)).encode())
            inputs, data = inputs_of(plan.settings)
            command = (sys.executable, "-m", "nas.cli.sweep_trial", FOLDER)
            return Job(name=name, command=command, folder=folder, inputs=inputs, data=data)
        return None

    def _take(self, outcome: Outcome) -> None:
        """Tell the study how a trial has ended; one that somebody stopped goes on the next time."""
        name, folder = outcome.job.name, outcome.job.folder
        if (folder / PRUNED_FILE).exists() or self._is_worse(self._running[name][0], folder):
            self._prune(name, folder)
        elif outcome.succeeded:
            self._finish(name, folder)
        elif outcome.exit_code in STOPPED:
            del self._running[name]
        else:
            self._fail(name, outcome.reason or "It failed.", outcome.seconds)

    def _finish(self, name: str, folder: Path) -> None:
        plan = self.recipe.plan
        try:
            scores = best_scores(folder, plan.seeds, plan.score)
        except NoScore as error:
            self._fail(name, str(error), seconds_of(folder, plan.seeds))
            return
        for trial in self._running[name]:
            with _if_still_ours():
                trial.set_user_attr("scores", scores)
        self._end(name, "COMPLETE", seconds_of(folder, plan.seeds), statistics.fmean(scores))

    def _fail(self, name: str, reason: str, seconds: float) -> None:
        for trial in self._running[name]:
            with _if_still_ours():
                trial.set_user_attr("reason", reason)
        self._end(name, "FAIL", seconds)

    def _prune(self, name: str, folder: Path) -> None:
        first, *others = self._running[name]
        reports = self.study.get_trials(deepcopy=False)[first.number].intermediate_values
        for trial in others:
            for epoch, value in reports.items():
                with _if_still_ours():
                    trial.report(value, epoch)
        seconds = sum(_seconds_so_far(folder, seed) for seed in self.recipe.plan.seeds)
        self._end(name, "PRUNED", seconds)

    def _end(self, name: str, state: str, seconds: float, score: float | None = None) -> None:
        """Tell the study of all trials at a point."""
        from optuna.trial import TrialState

        for trial in self._running.pop(name):
            with _if_still_ours():
                trial.set_user_attr("seconds", seconds)
                self.study.tell(trial, score, state=TrialState[state], skip_if_finished=True)

    def _all_running(self) -> list[Trial]:
        return [trial for trials in self._running.values() for trial in trials]

    def _is_worse(self, trial: Trial, folder: Path) -> bool:
        """Report the new epochs of a trial one by one, until one is not worth going on.

        However late this looks, it is the same epoch. The first run of a trial stands for all.
        """
        plan = self.recipe.plan
        if not plan.prunes:
            return False
        scores = scores_of(run_of(folder, plan.seeds[0]), plan.score)
        begin = self._reported.get(trial.number, 0)
        if begin == len(scores):
            return False
        known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for place, (epoch, value) in enumerate(scores[begin:], start=begin + 1):
            self._reported[trial.number] = place
            if epoch not in known:
                with _if_still_ours():
                    trial.report(value, epoch)
            if epoch >= max(known, default=0) and trial.should_prune():
                return True
        return False

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Look after what runs, beside the engine, which comes back only as trials end."""
        leaving = threading.Event()
        thread = threading.Thread(target=self._watch, args=(leaving,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            leaving.set()
            thread.join()

    def _watch(self, leaving: threading.Event) -> None:
        from optuna.exceptions import OptunaError

        told = time.monotonic()
        while not leaving.wait(self.look_every):
            with self._lock, suppress(OptunaError, UserError):
                self._stop_worse()
                if time.monotonic() - told > ALIVE_EVERY:
                    give_sign_of_life(self.study, self._all_running())
                    told = time.monotonic()

    def _stop_worse(self) -> None:
        """Have trials that are not worth their end save and leave."""
        for name, (first, *_) in self._running.items():
            folder = self.folder / "runs" / name
            if not (folder / PRUNED_FILE).exists() and self._is_worse(first, folder):
                with atomic_write(folder / PRUNED_FILE):
                    pass


@contextmanager
def _if_still_ours() -> Iterator[None]:
    """Pass over a trial that others have given up for lost, and queued again."""
    from optuna.exceptions import UpdateFinishedTrialError

    with suppress(UpdateFinishedTrialError):
        yield


def _seconds_so_far(folder: Path, seed: int) -> float:
    """Seconds that a run took until its last recorded epoch."""
    records = run_of(folder, seed).read_metrics()
    return float(records[-1].get("seconds", 0.0)) if records else 0.0
