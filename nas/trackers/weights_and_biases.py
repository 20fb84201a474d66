"""Weights & Biases beside TensorBoard: the same numbers, pictures and notes.

With WANDB_MODE=offline everything is kept in wandb/ in the run's folder, and ``wandb sync`` sends
it later. A run that goes on keeps its number there.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np

from nas.errors import UsageError
from nas.report.gather import Run
from nas.runs import RunFolder
from nas.trackers.results import numbers_of, settings_of
from nas.tracking import Tracker

PROJECT = "discriminator-nas"
"""Where WANDB_PROJECT names no other."""
ID_LENGTH = 16


class WeightsAndBiases(Tracker):
    """A tracker that also tells Weights & Biases."""

    def __init__(
        self, folder: RunFolder, first_step: int = 0, say: Callable[[str], None] = print
    ) -> None:
        self._run = open_run(Run(folder))
        super().__init__(folder, first_step, say)
        self._notes: list[str] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run.finish(exit_code=0 if error is None else 1)
        super().__exit__(kind, error, trace)

    def scalars(self, values: Mapping[str, float], step: int, prefix: str) -> None:
        """Add numbers under prefix/name."""
        super().scalars(values, step, prefix)
        finite = {
            f"{prefix}/{name}": value for name, value in values.items() if math.isfinite(value)
        }
        self._run.log(finite, step=step)

    def note(self, sentence: str) -> None:
        """Tell the user something about the run."""
        super().note(sentence)
        if sentence not in self._notes:
            self._notes.append(sentence)
            self._run.notes = "\n".join(self._notes)

    def picture(self, name: str, pixels: np.ndarray, epoch: int, step: int) -> None:
        """Add (H, W, 3) uint8."""
        super().picture(name, pixels, epoch, step)
        self._run.log({name: library().Image(pixels)}, step=step)


def open_run(run: Run) -> Any:
    """Begin the run in Weights & Biases, or go on with it.

    Raises:
        UsageError: wandb is not installed, or refuses: there is no login, or no network.
    """
    wandb = library()
    settings = wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True
    )
    with _refusals():
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            dir=str(run.path),
            name=run.path.resolve().name,
            job_type=run.kind,
            id=identity(run),
            resume="allow",
            config=settings_of(run),
            settings=settings,
        )


def summarise(run: Run) -> None:
    """Tell the final numbers of a run as its summary.

    Raises:
        UsageError: as `open_run`.
    """
    tracked = open_run(run)
    tracked.summary.update(numbers_of(run))
    tracked.finish()


def identity(run: Run) -> str:
    """The number of a run in Weights & Biases: the same as long as run.json and its split are."""
    origin = [run.record.get("created"), run.record.get("command"), run.settings, run.split]
    return hashlib.sha256(repr(origin).encode()).hexdigest()[:ID_LENGTH]


def library() -> Any:
    """The library.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise UsageError(
            "--tracker wandb needs wandb: run pip install 'discriminator-nas[wandb]'."
        ) from error
    return wandb


@contextmanager
def _refusals() -> Iterator[None]:
    """What the library refuses, as an error for a person."""
    from wandb.errors import Error

    try:
        yield
    except Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UsageError(
            f"Weights & Biases refuses to begin ({reason}): run wandb login, or set "
            "WANDB_MODE=offline to keep everything in the run's folder."
        ) from error
