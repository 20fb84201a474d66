"""Where the time of a search goes beside its steps, and how long one waits for the first.

    python -m tools.measure_run --times 3 --image-size 128 --backbone unet?width=16 --epochs 4

All options of nas-search are taken. Each run has a process of its own. A part's time is its own:
that of a part called within another counts for the inner one alone. Times are those of the process,
the start also by the clock; with several runs they are medians. The tables are Markdown.
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
    """Process time by part, and when the first step began.

    Attributes:
        seconds: by part.
        memory: resident MB after every so many steps.
        first_step: when it began: seconds of the process, and `time.time`; None before it.
        steps: how many were taken.
    """

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    memory: dict[int, float] = field(default_factory=dict)
    first_step: tuple[float, float] | None = None
    steps: int = 0
    _inside: list[str] = field(default_factory=list)
    _since: float = 0.0

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
        now = time.process_time()
        if self._inside:
            self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The function, in its part."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.within(part):
                return function(*args, **kwargs)

        return wrapped

    def counted(self, function: Callable[..., Any], memory_every: int) -> Callable[..., Any]:
        """The function that takes a step, with the memory behind every so many of them."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self.first_step is None:
                self.first_step = time.process_time(), time.time()
            result = function(*args, **kwargs)
            self.steps += 1
            if memory_every and self.steps % memory_every == 0:
                self.memory[self.steps] = resident()
            return result

        return wrapped


def resident() -> float:
    """Memory of this process, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def parts() -> dict[str, list[tuple[Any, str]]]:
    """What is timed; those that begin with ``start`` come before the first step."""
    from nas import search, training
    from nas.bilevel import Bilevel
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
        STEPS: [(Bilevel, "update_architecture"), (Bilevel, "update_weights")],
        "diagnosis": [(search, "update_beside"), (search, "compare_products")],
        "data": [(Batches, "batch")],
        "validation": [(search, "validate")],
        "health": [(search, "examine")],
        "pictures": [
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
    from nas.diagnostics import Beside
    from nas.search import SearchStage

    with contextlib.ExitStack() as stack:

        def replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
            stack.enter_context(patch.object(owner, name, function))

        for part, places in parts().items():
            for owner, name in places:
                replace(owner, name, clock.timed(getattr(owner, name), part))
        replace(Beside, "beside", clock.timed(Beside.beside, "diagnosis"))
        replace(SearchStage, "step", clock.counted(SearchStage.step, memory_every))
        yield


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        seconds: of the process, by part.
        waited: from the start of the process to the first step, by the clock, in seconds.
        steps: how many were taken.
        memory: resident MB by steps taken.
    """

    seconds: dict[str, float]
    waited: float
    steps: int
    memory: dict[int, float]


def measure(options: Sequence[str], memory_every: int, started: float) -> Measured:
    """Search in a temporary folder; to be called in a new process.

    Args:
        options: of nas-search.
        memory_every: steps between two looks at the memory; 0 never looks.
        started: when the process was asked for, on `time.time`.
    """
    from nas import search
    from nas.cli.common import parse
    from nas.runs import RunFolder
    from nas.settings import SearchSettings

    clock = Clock()
    settings = parse(SearchSettings, "measure_run.py", list(options))
    clock.seconds["start: imports"] = time.process_time()
    with (
        tempfile.TemporaryDirectory() as scratch,
        clocked(clock, memory_every),
        clock.within(START),
    ):
        search.run_search(settings, RunFolder(Path(scratch) / "run"), resume=False)
    assert clock.first_step is not None
    return Measured(
        dict(clock.seconds), clock.first_step[1] - started, clock.steps, dict(clock.memory)
    )


def main() -> None:
    """Search so many times, and print the tables."""
    parser = argparse.ArgumentParser(description="Takes the options of nas-search, and:")
    parser.add_argument("--times", type=int, default=1, help="runs (default: 1)")
    parser.add_argument(
        "--memory-every", type=int, default=0, help="steps between two looks at the memory"
    )
    own, options = parser.parse_known_args()
    context = multiprocessing.get_context("spawn")
    runs = []
    for _ in range(own.times):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            runs.append(pool.submit(measure, options, own.memory_every, time.time()).result())
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
    lines = [
        *_table(f"part of {count} steps", rest, total),
        "",
        f"All but steps: {1 - steps / total:.2%} (aim: {TARGET:.0%}); "
        f"with steps three times as fast: {1 - steps / (3 * (total - steps) + steps):.2%}.",
        "",
        *_table("start to first step", start, sum(start.values())),
        "",
        f"By the clock the first step begins after {waited:.1f} s.",
    ]
    if runs[0].memory:
        lines += ["", "| steps | resident MB |", "|---:|---:|"]
        lines += [f"| {step} | {memory:.1f} |" for step, memory in runs[0].memory.items()]
    return lines


def _table(title: str, seconds: dict[str, float], total: float) -> list[str]:
    rows = sorted(seconds.items(), key=lambda item: -item[1])
    return [
        f"| {title} | s | share |",
        "|---|---:|---:|",
        *(f"| {part} | {value:.2f} | {value / total:.2%} |" for part, value in rows),
        f"| all | {total:.2f} | |",
    ]


if __name__ == "__main__":
    main()
