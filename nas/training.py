"""The loop that every stage of training runs in: steps, epochs, checkpoints, stops, resuming.

A stage says what a step and the end of an epoch are; the loop sees to it that nothing is lost.
"""

from __future__ import annotations

import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

import torch

from nas.bilevel import Bilevel
from nas.data.batches import stable_seed
from nas.errors import Interrupted, RunError, TrainingError
from nas.ranks import (
    agreed,
    average_statistics,
    count,
    gathered,
    is_first,
    largest,
    number,
    refuse_differences,
)
from nas.runs import RunFolder
from nas.settings import TrackerName
from nas.time_share import TimeShare
from nas.trackers import open_tracker
from nas.tracking import SilentTracker, TerminalProgress, Tracker


class Stage(Protocol):
    """One kind of training.

    Attributes:
        kind: ``search`` or ``retrain``; the name of its command is ``nas-`` and this.
        epochs: how many epochs it runs at most.
        steps: steps per epoch.
        engine: takes the steps.
    """

    kind: str
    epochs: int
    steps: int
    engine: Bilevel[Any]

    def step(self, epoch: int, step: int) -> dict[str, float]:
        """Do one step (both counted from 0); the numbers that describe it."""

    def finish_epoch(self, epoch: int, tracker: Tracker) -> dict[str, float]:
        """Validate, draw and save after an epoch; the numbers that describe it."""

    def stop_reason(self) -> str | None:
        """Why no further epoch is needed, in words; None to go on."""

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as tensors and plain values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""


@dataclass
class Position:
    """How far a run is: epochs done, steps done in the present one, and what these added up to."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, values: Mapping[str, float]) -> None:
        """Take in the numbers of one step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.step += 1

    def averages(self) -> dict[str, float]:
        """Mean of each number over the steps of the epoch that had it."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def next_epoch(self) -> None:
        """Begin to count anew."""
        self.epoch += 1
        self.step = 0
        self.sums, self.counts = {}, {}


def as_numbers(scalars: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """The values of scalar tensors on one device, fetched from it together.

    A device is waited for once, instead of once for each number.
    """
    if not scalars:
        return {}
    together = torch.stack([each.detach() for each in scalars.values()])
    return dict(zip(scalars, together.tolist(), strict=True))


STOPPING = b"\nStopping after this step; once more stops at once, without saving.\n"


@dataclass
class _StopRequest:
    number: int = 0


@contextmanager
def stop_requests() -> Iterator[_StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; a second one acts at once, as usual."""
    request = _StopRequest()
    previous = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for each, handler in previous.items():
            signal.signal(each, handler)

    def note(number: int, frame: FrameType | None) -> None:
        request.number = number
        restore()
        if is_first():
            os.write(2, STOPPING)

    for each in previous:
        signal.signal(each, note)
    try:
        yield request
    finally:
        restore()


def new_tracker(
    name: TrackerName, folder: RunFolder, first_step: int, say: Callable[[str], None]
) -> Tracker:
    """The tracker of a run, or one that keeps nothing where another process writes its folder."""
    return open_tracker(name, folder, first_step, say) if folder.is_written else SilentTracker()


SHARE_OF_SAVES = 0.01
"""Of a run's time, up to which every epoch ends with a save."""


class Training:
    """Runs a stage from where it is to its end.

    It is saved after so many minutes, when it is stopped, and at its end; besides, at the end of
    every epoch unless the saves so far took more than `SHARE_OF_SAVES` of the time.
    """

    def __init__(
        self,
        stage: Stage,
        folder: RunFolder,
        checkpoint_minutes: float,
        tracker: TrackerName = "tensorboard",
    ) -> None:
        self.stage = stage
        self._tracker = tracker
        self.folder = folder
        self.position = Position()
        self._checkpoint_seconds = checkpoint_minutes * 60
        self._last_save = time.monotonic()
        self._saves = TimeShare(SHARE_OF_SAVES)

    def resume(self) -> None:
        """Go back to the last checkpoint; without one, to the beginning.

        Raises:
            RunError: the checkpoint cannot be read, or does not fit the settings.
        """
        if self.folder.checkpoint("last").exists():
            state = self.folder.load_checkpoint("last", self.stage.kind)
            try:
                self._restore(state)
            except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
                raise RunError(
                    f"{self.folder.checkpoint('last')} does not fit the settings of the run "
                    f"({_first_line(error)}): restore it from a copy, or start a new run."
                ) from error
        self.folder.forget_metrics_from(self.position.epoch + 1)

    def _restore(self, state: dict[str, Any]) -> None:
        self.stage.restore(state["stage"])
        self.position = Position(**state["position"])
        noise = [state["random"], *state.get("random_of_others", [])]
        if number() < len(noise):
            _restore_noise(noise[number()])
        else:
            position = self.position
            torch.manual_seed(stable_seed(number(), position.epoch, position.step))

    def run(self) -> None:
        """Train until the last epoch, or until the stage has a reason to stop.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the state was saved.
            TrainingError: a loss or a weight is not finite; the last good checkpoint is named.
        """
        stage, position = self.stage, self.position
        done = position.epoch * stage.steps + position.step
        started = time.monotonic() - position.seconds
        title = f"nas-{stage.kind}"
        with (
            stop_requests() as stop,
            TerminalProgress(title, stage.epochs * stage.steps, done) as progress,
            new_tracker(self._tracker, self.folder, done, progress.say) as tracker,
        ):
            self._say_where_it_goes_on(progress)
            before = time.monotonic()
            while self._unfinished():
                while position.step < stage.steps:
                    self._step(tracker)
                    done += 1
                    progress.advance()
                    position.seconds = time.monotonic() - started
                    stopping, due = largest(stop.number, self._is_save_due())
                    if stopping or due:
                        self._save()
                    self._leave_on(stopping)
                record = self._finish_epoch(tracker, done)
                is_due = self._is_save_due() or self._saves.is_left
                stopping, due = largest(stop.number, is_due)
                if stopping or due or not self._unfinished():
                    self._save()
                left = progress.remaining(done, time.monotonic() - before)
                progress.say(f"{_line(record, stage.epochs)}, remaining {left}")
                if self._unfinished():
                    self._leave_on(stopping)

    def _unfinished(self) -> bool:
        return self.position.epoch < self.stage.epochs and self.stage.stop_reason() is None

    def _say_where_it_goes_on(self, progress: TerminalProgress) -> None:
        position = self.position
        if (position.epoch or position.step) and self._unfinished():
            progress.say(f"Going on in epoch {position.epoch + 1} after step {position.step}.")

    def _step(self, tracker: Tracker) -> None:
        position = self.position
        values = self.stage.step(position.epoch, position.step)
        for name, value in values.items():
            if not math.isfinite(value):
                raise self._not_finite(f"The {name}")
        tracker.scalars(values, position.epoch * self.stage.steps + position.step, "step")
        position.add(values)

    def _finish_epoch(self, tracker: Tracker, done: int) -> dict[str, Any]:
        position = self.position
        self._join()
        refuse_differences(self._finite_state())
        record = {"epoch": position.epoch + 1, "step": done, **position.averages()}
        record |= self.stage.finish_epoch(position.epoch, tracker)
        record["seconds"] = round(position.seconds, 3)
        tracker.epoch(record, done)
        position.next_epoch()
        return record

    def _leave_on(self, signal_number: int) -> None:
        if signal_number:
            raise Interrupted(
                f"Stopped in epoch {self.position.epoch + 1} after step {self.position.step}; "
                f"everything is saved. Go on with: {self.resume_command()}",
                signal_number,
            )

    def _is_save_due(self) -> bool:
        return time.monotonic() - self._last_save > self._checkpoint_seconds

    def _finite_state(self) -> dict[str, Any]:
        """The stage's state; a TrainingError if any tensor in it is not finite."""
        state = self.stage.state()
        for name, part in state.items():
            if not _is_finite(part):
                raise self._not_finite(f"A number in the state of {name}")
        return state

    def _join(self) -> None:
        """Bring together what several processes have taken of their own images."""
        if count() > 1:
            average_statistics(self.stage.engine.modules)

    def _save(self) -> None:
        """Save the state, all processes at the same step; none goes on before it is saved."""
        with self._saves.spending():
            self._write_checkpoint()
        self._last_save = time.monotonic()

    def _write_checkpoint(self) -> None:
        self._join()
        noise, *others = gathered(_noise())
        state: dict[str, Any] = {
            "stage": self._finite_state(),
            "position": vars(self.position),
            "random": noise,
        }
        if others:
            state["random_of_others"] = others
        self.folder.save_checkpoint("last", self.stage.kind, state)
        agreed("saved")

    def resume_command(self) -> str:
        """The command that goes on with this run."""
        return f"nas-{self.stage.kind} --run-dir {shlex.quote(str(self.folder.path))} --resume"

    def _not_finite(self, name: str) -> TrainingError:
        checkpoint = self.folder.checkpoint("last")
        saved = (
            f"the last good checkpoint is {checkpoint}"
            if checkpoint.exists()
            else "nothing was saved yet"
        )
        return TrainingError(
            f"{name} is not a finite number in epoch {self.position.epoch + 1} after step "
            f"{self.position.step}; {saved}. Lower the learning rates, or look at the images with "
            "nas-data check, and start a new run."
        )


def _noise() -> dict[str, Any]:
    """The state of torch's generators; of several processes each has one CUDA device."""
    if count() > 1:
        cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else []
    else:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _restore_noise(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if count() > 1:
        if torch.cuda.is_initialized():
            for generator in state["cuda"][:1]:
                torch.cuda.set_rng_state(generator)
        return
    for device, generator in enumerate(state["cuda"]):
        if device < torch.cuda.device_count():
            torch.cuda.set_rng_state(generator, device)


def _floats(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        if tree.is_floating_point():
            yield tree
    elif isinstance(tree, (Mapping, list, tuple)):
        for part in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _floats(part)


def _is_finite(tree: Any) -> bool:
    """Whether all its tensors are; each device is waited for once."""
    by_device: dict[torch.device, list[torch.Tensor]] = {}
    for tensor in _floats(tree):
        by_device.setdefault(tensor.device, []).append(tensor.isfinite().all())
    return all(bool(torch.stack(found).all()) for found in by_device.values())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120].rstrip(".:")


TOLD = ("loss", "iou", "accuracy")
"""Last words of the names of numbers that stand in an epoch's line; all are in metrics.jsonl."""


def _line(record: Mapping[str, Any], epochs: int) -> str:
    shown = [
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in record.items()
        if name.rpartition("_")[2] in TOLD and isinstance(value, float)
    ]
    return f"epoch {record['epoch']}/{epochs}: " + ", ".join(shown)
