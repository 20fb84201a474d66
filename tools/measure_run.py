"""Where the time of a search goes beside its steps, and how long one waits for the first.

    python -m tools.measure_run --image-size 128 --backbone unet?width=16 --taken 8

All options of nas-search are taken. Each run has a process of its own. A part's time is its own:
that of a part called within another counts for the inner one alone. Times are those of the process,
which waits for a disk in none of them, the start also by the clock; without --threads 1, all but
that of imports are of the clock. With several runs they are medians. The tables are Markdown.

With --taken only so many steps are taken, and those in which products are compared. All others
count as long as the median of the later half of these, and everything beside them is done as in the
whole run, which keeps the shares of a time that goes on by as much. With --capture, 28 are enough:
steps are replayed from the thirteenth on.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

STEPS, START, LOOP = "steps", "start: rest", "loop"

TARGET = 0.05
"""Of a search, that everything but its steps may take."""


@dataclass
class Clock:
    """Time by part, and when the first step began.

    Attributes:
        seconds_now: of the process, or of the clock.
        taken: plain steps to be taken, of which the first half serves to warm up; all if None.
        seconds: by part.
        calls: of each part, by the function that is its first in `parts`.
        memory: resident MB after every so many steps.
        first_step: when it began, on `time.time`; None before it.
        steps: how many were taken, or counted as if they were.
        step_seconds: of the first two that were taken.
    """

    seconds_now: Callable[[], float]
    taken: int | None = None
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    memory: dict[int, float] = field(default_factory=dict)
    first_step: float | None = None
    steps: int = 0
    step_seconds: list[float] = field(default_factory=list)
    _inside: list[str] = field(default_factory=list)
    _since: float = 0.0
    _plain: list[float] = field(default_factory=list)
    _skipped: float = 0.0

    def now(self) -> float:
        """With the time of the steps that were not taken."""
        return self.seconds_now() + self._skipped

    @contextlib.contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count for this part, and for the outer one again behind it."""
        self._turn()
        self._inside.append(part)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()

    def _turn(self) -> None:
        now = self.seconds_now()
        if self._inside:
            self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    def timed(self, function: Callable[..., Any], part: str, calls: int = 1) -> Callable[..., Any]:
        """The function, in its part, of which a call counts for so many."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.calls[part] += calls
            with self.within(part):
                return function(*args, **kwargs)

        return wrapped

    def counted(self, function: Callable[..., Any], memory_every: int) -> Callable[..., Any]:
        """The function that takes a step of a search, with the memory behind every so many."""

        @functools.wraps(function)
        def wrapped(stage: Any, epoch: int, step: int) -> Any:
            if self.first_step is None:
                self.first_step = time.time()
            began = self.seconds_now()
            every = stage.settings.architecture.diagnose_every
            if every and (epoch * stage.steps + step) % every == 0:
                result = function(stage, epoch, step)
            else:
                result = self._plain_step(lambda: function(stage, epoch, step))
            if len(self.step_seconds) < 2:
                self.step_seconds.append(self.seconds_now() - began)
            self.steps += 1
            self.calls[STEPS] = self.steps
            if memory_every and self.steps % memory_every == 0:
                self.memory[self.steps] = resident()
            return result

        return wrapped

    def _plain_step(self, take: Callable[[], dict[str, float]]) -> dict[str, float]:
        """A step, or its time alone and no numbers where enough were taken."""
        if self.taken is None or len(self._plain) < self.taken:
            before = self.seconds[STEPS]
            result = take()
            self._plain.append(self.seconds[STEPS] - before)
            return result
        usual = statistics.median(self._plain[len(self._plain) // 2 :])
        self.seconds[STEPS] += usual
        self._skipped += usual
        return {}


def resident() -> float:
    """Memory of this process, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def parts() -> dict[str, list[tuple[Any, str]]]:
    """What is timed; those that begin with ``start`` come before the first step."""
    from nas import illustration, search, training
    from nas.bilevel import Bilevel
    from nas.captured import Captured
    from nas.data.batches import Batches
    from nas.preparation import Data
    from nas.tracking import TerminalProgress, Tracker
    from nas.training import Training

    return {
        "start: data": [
            (search, "open_data"),
            (search, "record_data"),
            (Data, "loaded"),
            (Data, "unlabelled"),
        ],
        "start: networks": [(search, "new_phase")],
        "start: rehearsal": [(search, "rehearse")],
        "start: records": [(training, "new_tracker")],
        STEPS: [
            (engine, update)
            for engine in (Bilevel, Captured)
            for update in ("update_architecture", "update_weights")
        ],
        "diagnosis": [(search, "update_beside"), (search, "compare_products")],
        "data": [(Batches, "batch")],
        "validation": [(search, "validate")],
        "health": [(search, "examine")],
        "pictures": [
            (illustration, "_draw_search"),
            (search, "draw_search"),
            (search, "draw_curves"),
            (search, "draw_architecture_over_epochs"),
        ],
        "checkpoints": [(Training, "_save"), (Training, "_finite_state")],
        "logging": [(Tracker, "scalars"), (Tracker, "epoch"), (TerminalProgress, "advance")],
        LOOP: [(Training, "run")],
    }


@contextlib.contextmanager
def clocked(clock: Clock, memory_every: int = 0) -> Iterator[None]:
    """Time all parts of whatever search is run in this context."""
    from nas import search, training
    from nas.diagnostics import Beside
    from nas.illustration import Pace
    from nas.search import SearchStage
    from nas.time_share import TimeShare

    with contextlib.ExitStack() as stack:

        def replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
            stack.enter_context(patch.object(owner, name, function))

        for part, places in parts().items():
            for place, (owner, name) in enumerate(places):
                replace(owner, name, clock.timed(getattr(owner, name), part, int(place == 0)))
        replace(Beside, "beside", clock.timed(Beside.beside, "diagnosis", calls=0))
        replace(SearchStage, "step", clock.counted(SearchStage.step, memory_every))
        replace(search, "Pace", functools.partial(Pace, now=clock.now))
        replace(training, "TimeShare", functools.partial(TimeShare, now=clock.now))
        yield


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        seconds: by part.
        calls: of each part.
        waited: from the start of the process to the first step, by the clock, in seconds.
        steps: how many were taken.
        step_seconds: of the first two.
        memory: resident MB by steps taken.
    """

    seconds: dict[str, float]
    calls: dict[str, int]
    waited: float
    steps: int
    step_seconds: list[float]
    memory: dict[int, float]


def measure(
    options: Sequence[str], taken: int | None, memory_every: int, started: float
) -> Measured:
    """Search in a temporary folder; to be called in a new process.

    Args:
        options: of nas-search.
        taken: steps that are taken; None for all.
        memory_every: steps between two looks at the memory; 0 never looks.
        started: when the process was asked for, on `time.time`.
    """
    from nas import search
    from nas.cli.common import parse
    from nas.runs import RunFolder
    from nas.settings import SearchSettings

    settings = parse(SearchSettings, "measure_run.py", list(options))
    alone = settings.run.threads == 1
    clock = Clock(time.process_time if alone else time.perf_counter, taken)
    clock.seconds["start: imports"] = time.process_time()
    with (
        tempfile.TemporaryDirectory() as scratch,
        clocked(clock, memory_every),
        clock.within(START),
    ):
        search.run_search(settings, RunFolder(Path(scratch) / "run"), resume=False)
    assert clock.first_step is not None
    return Measured(
        dict(clock.seconds),
        dict(clock.calls),
        clock.first_step - started,
        clock.steps,
        clock.step_seconds,
        dict(clock.memory),
    )


def main() -> None:
    """Search so many times, and print the tables."""
    parser = argparse.ArgumentParser(description="Takes the options of nas-search, and:")
    parser.add_argument("--times", type=int, default=1, help="runs (default: 1)")
    parser.add_argument(
        "--memory-every", type=int, default=0, help="steps between two looks at the memory"
    )
    parser.add_argument("--taken", type=int, help="plain steps that are taken (default: all)")
    own, options = parser.parse_known_args()
    context = multiprocessing.get_context("spawn")
    runs = []
    for _ in range(own.times):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            asked = pool.submit(measure, options, own.taken, own.memory_every, time.time())
            runs.append(asked.result())
    print("\n".join(report(runs)))


def report(runs: Sequence[Measured]) -> list[str]:
    """The tables: the run, its start, and its memory where that was looked at."""
    names = {name for run in runs for name in run.seconds}
    seconds = {
        name: statistics.median(run.seconds.get(name, 0.0) for run in runs) for name in names
    }
    start = {name: value for name, value in seconds.items() if name.startswith("start")}
    rest = {name: value for name, value in seconds.items() if name not in start}
    total = sum(rest.values())
    steps, (count, *_) = rest[STEPS], [run.steps for run in runs]
    waited = statistics.median(run.waited for run in runs)
    calls, each = runs[0].calls, steps / count
    lines = [
        f"| part of {count} steps | times | each, in steps | s | share |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {part} | {_often(calls.get(part, 0), value / each)} "
            f"| {value:.2f} | {value / total:.2%} |"
            for part, value in _sorted(rest)
        ),
        f"| all | | | {total:.2f} | |",
        "",
        f"All but steps: {1 - steps / total:.2%} (aim: {TARGET:.0%}); "
        f"with steps three times as fast: {1 - steps / (3 * (total - steps) + steps):.2%}.",
        "",
        "| start to first step | s |",
        "|---|---:|",
        *(f"| {part} | {value:.2f} |" for part, value in _sorted(start)),
        f"| all | {sum(start.values()):.2f} |",
        "",
        f"By the clock the first step begins after {waited:.1f} s. Steps took "
        + ", ".join(f"{seconds:.2f} s" for seconds in runs[0].step_seconds)
        + " (the first, the second).",
    ]
    if runs[0].memory:
        lines += ["", "| steps | resident MB |", "|---:|---:|"]
        lines += [f"| {step} | {memory:.1f} |" for step, memory in runs[0].memory.items()]
    return lines


def _sorted(seconds: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds.items(), key=lambda item: -item[1])


def _often(times: int, steps: float) -> str:
    """How often a part was called, and how many steps take as long as one call."""
    return f"{times} | {steps / times:.3f}" if times else " | "


if __name__ == "__main__":
    main()
