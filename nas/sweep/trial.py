"""One trial of a sweep: the runs at a point, watched while they train."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from nas.runs import RunFolder
from nas.sweep.dimensions import Point, at_point, point_name
from nas.sweep.recipe import SweptRecipe
from nas.sweep.study import Score

if TYPE_CHECKING:
    from optuna import Trial

LOOK_EVERY = 0.5
"""Seconds between two looks at what a run has recorded."""


class RunFailed(Exception):
    """A run of a trial ended with an error; the sentence says which."""


class Pruned(Exception):
    """A run was stopped, since it is worse than others were at this epoch."""


@dataclass(frozen=True)
class Trials:
    """Where and how the runs of trials are made.

    Attributes:
        folder: of the sweep; runs are below its ``runs``.
        recipe: what is swept.
        passed_on: further options of each run's command.
    """

    folder: Path
    recipe: SweptRecipe
    passed_on: Sequence[str]

    def runs(self, point: Point) -> dict[int, RunFolder]:
        """The folders of the runs at a point, by seed."""
        place = self.folder / "runs" / point_name(point)
        return {seed: RunFolder(place / f"seed-{seed}") for seed in self.recipe.plan.seeds}

    def settings_file(self, point: Point) -> Path:
        """The settings of the runs at a point, which work as --config."""
        return self.folder / "runs" / point_name(point) / "recipe.toml"

    def run(self, point: Point, trial: Trial) -> float:
        """Bring the runs at a point to their end; the mean of their scores.

        What is finished there is not done again, and what was stopped goes on. Scores of the first
        seed are reported to the trial as its epochs end.

        Raises:
            RunFailed: a run ended with an error.
            Pruned: the trial is not worth its end.
        """
        recipe = self.settings_file(point)
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text(tomli_w.dumps(at_point(self.recipe.tables, point)))
        scores = []
        for place, (seed, folder) in enumerate(self.runs(point).items()):
            if not is_finished(folder):
                self._train(recipe, folder, seed, trial if place == 0 else None)
            scores.append(best_score(folder, self.recipe.plan.score))
        return sum(scores) / len(scores)

    def _train(self, recipe: Path, folder: RunFolder, seed: int, trial: Trial | None) -> None:
        began = folder.settings_file.exists()
        new = ["--config", str(recipe), "--seed", str(seed), *self.passed_on]
        module = f"nas.cli.{self.recipe.stage}"
        options = ["--run-dir", str(folder.path), *(["--resume"] if began else new)]
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        log = folder.path.parent / f"{folder.path.name}.log"
        with log.open("a") as output, _running([module, *options], output) as process:
            reported = 0
            while process.poll() is None:
                time.sleep(LOOK_EVERY)
                if trial is not None:
                    reported = self._report(trial, folder, reported)
        if process.returncode:
            raise RunFailed(last_line(log) or f"It ended with exit code {process.returncode}.")

    def _report(self, trial: Trial, folder: RunFolder, reported: int) -> int:
        records = folder.read_metrics()
        for record in records[reported:]:
            value = record.get(self.recipe.plan.score)
            if value is not None:
                trial.report(value, record["epoch"])
        if len(records) > reported and trial.should_prune():
            raise Pruned
        return len(records)


def is_finished(folder: RunFolder) -> bool:
    """Whether a run has come to its end."""
    return folder.record_file.exists() and "finished" in folder.read_record()


def best_score(folder: RunFolder, score: Score) -> float:
    """The score of a run's best epoch.

    Raises:
        RunFailed: no epoch has one, for lack of validation images.
    """
    values = [each[score] for each in folder.read_metrics() if each.get(score) is not None]
    if not values:
        raise RunFailed(
            f"{folder.path} has no {score}: a sweep compares on validation images, and there are "
            "none. Give --val-images."
        )
    return min(values) if score == "val_loss" else max(values)


def last_line(log: Path) -> str:
    """The last line that a command printed."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


@contextmanager
def _running(arguments: Sequence[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command of the toolkit, which is stopped, and waited for, if it is left before its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()
