"""A few real steps of a search, measured in a process that does nothing else.

The process gets a request on its standard input and answers on its standard output, both as
MessagePack. It ends by itself, whatever becomes of the one that has started it.
"""

from __future__ import annotations

import math
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import torch

from nas.budget.limits import Measured, Unmeasured
from nas.budget.memory import peak_bytes, present_bytes
from nas.budget.probe_messages import Answer, Refusal, Request, decoded
from nas.budget.timetable import LAST, Timetable, is_rare
from nas.captured import recorded_at_once
from nas.data.batches import Shuffled
from nas.devices import resolve_device, set_threads
from nas.errors import UserError, is_out_of_memory
from nas.illustration import draw_architecture_over_epochs, draw_curves
from nas.kernels import take_kernels
from nas.preparation import open_data
from nas.runs import RunFolder
from nas.search import SearchStage
from nas.tracking import Tracker

LEAST, MOST = 2, 15
"""Steps of a kind that are timed; of what is rare, one."""
ENOUGH_SECONDS = 5.0
"""Time after which no more of them are, beyond the least number."""

UNSEEN_BYTES = 100e6
"""Memory that a process on a CPU takes only over many epochs, through the gaps that pictures leave
between what is held: 77 and 107 MB were seen after 20 epochs with pictures."""


@dataclass(frozen=True)
class _Clock:
    """The time of a rehearsal, and how much of it there is to do things more than once."""

    started: float
    seconds: float
    device: torch.device

    def now(self) -> float:
        """Seconds since the process was asked for, all work on the device done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.time() - self.started

    def median(
        self, action: Callable[[], object], most: int, untimed: int = 1
    ) -> tuple[float, list[float]]:
        """Seconds that an action takes, after it has been done some times to warm up.

        Where the time is over by then, those of that once, which are more, or of one more action.

        Args:
            action: what is timed.
            most: how often, at most.
            untimed: how often it is done before.

        Returns:
            The seconds, and those of the first times.
        """
        first = [self._timed(action) for _ in range(untimed)]
        taken: list[float] = []
        while len(taken) < most and not (len(taken) >= LEAST and sum(taken) > ENOUGH_SECONDS):
            if (taken or untimed == 1) and self.now() + first[-1] > self.seconds:
                break
            taken.append(self._timed(action))
        return statistics.median(taken or first), first

    def _timed(self, action: Callable[[], object]) -> float:
        before = self.now()
        action()
        return self.now() - before


def answer() -> None:
    """Answer the request on standard input."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = decoded(sys.stdin.buffer.read())
    signal.alarm(math.ceil(request.most_seconds))
    out.write(msgspec.msgpack.encode(_answer(request)))
    out.close()


def _answer(request: Request) -> Answer:
    try:
        return Answer(measured=measure(request))
    except UserError as error:
        return Answer(refusal=Refusal(type(error).__name__, str(error)))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return Answer(unmeasured=Unmeasured("memory ran out"))


def measure(request: Request) -> Measured:
    """Take steps of every kind that the search has, end an epoch, and look at clock and memory.

    Raises:
        UserError: the search cannot be begun.
    """
    settings = request.settings
    device = resolve_device(settings.run.device)
    clock = _Clock(request.started, request.seconds, device)
    set_threads(settings.run.threads)
    take_kernels(settings.run.kernels)
    stage, table = _begun(request)
    base = present_bytes(device)
    start = clock.now()
    seconds: dict[str, float] = {}
    with recorded_at_once(settings.run, device) as (untimed, spared):
        for name, place in sorted(table.places().items(), key=lambda item: item[1]):
            times = (1, 1) if is_rare(name) else (MOST, untimed)
            seconds[name], first = clock.median(partial(stage.step, *place), *times)
            first += first[:1] * (spared if len(first) > 1 else 0)
            start += max(0.0, sum(first) - len(first) * seconds[name])
    with Tracker(stage.folder, say=lambda sentence: None) as tracker:
        for name, epoch in table.ends().items():
            action = _end_run if name == LAST else partial(_end, epoch=epoch, tracker=tracker)
            seconds[name], _ = clock.median(partial(action, stage), 1)
    unseen = UNSEEN_BYTES if device.type == "cpu" else 0.0
    return Measured(table.steps, start, seconds, peak_bytes(device) + unseen, base + unseen)


def _begun(request: Request) -> tuple[SearchStage, Timetable]:
    """The search, at its beginning; of several processes, as one of them sees it."""
    settings = request.settings
    training = msgspec.structs.replace(settings.training, batch_size=request.part)
    own = msgspec.structs.replace(settings, training=training)
    folder = RunFolder(request.folder)
    folder.begin("search", own)
    stage = SearchStage(own, folder, open_data(own.data))
    steps = len(Shuffled(stage.weights_half, settings.training.batch_size, seed=0))
    return stage, Timetable.of(settings, steps)


def _end(stage: SearchStage, epoch: int, tracker: Tracker) -> None:
    record: dict[str, Any] = {"epoch": epoch + 1, **stage.finish_epoch(epoch, tracker)}
    tracker.epoch(record, (epoch + 1) * stage.steps)
    stage.folder.save_checkpoint("last", stage.kind, stage.state())


def _end_run(stage: SearchStage) -> None:
    draw_curves(stage.folder)
    draw_architecture_over_epochs(stage.folder)
