"""Where the time of a search goes beside its steps, and how long one waits for the first.

    python tools/measure_run.py --image-size 128 --backbone unet?width=16 --epochs 2

All options of nas-search are taken. Each part's time is its own: that of a part called within
another counts for the inner one alone. Times are those of the process; the start also by the clock.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import contextlib  # noqa: E402
import functools  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402
from unittest.mock import patch  # noqa: E402

from nas import search  # noqa: E402
from nas.bilevel import Bilevel  # noqa: E402
from nas.cli.common import parse  # noqa: E402
from nas.data.batches import Batches  # noqa: E402
from nas.runs import RunFolder  # noqa: E402
from nas.settings import SearchSettings  # noqa: E402
from nas.tracking import TerminalProgress, Tracker  # noqa: E402
from nas.training import Training  # noqa: E402

PARTS: dict[str, list[tuple[Any, str]]] = {
    "steps": [(Bilevel, "update_architecture"), (Bilevel, "update_weights")],
    "diagnosis": [(search, "second_order_diagnosis")],
    "data": [(Batches, "batch")],
    "validation": [(search, "validate"), (search, "examine")],
    "pictures": [
        (search, "draw_search"),
        (search, "draw_curves"),
        (search, "draw_architecture_over_epochs"),
    ],
    "checkpoints": [(Training, "_save"), (Training, "_finite_state")],
    "logging": [(Tracker, "scalars"), (Tracker, "epoch"), (TerminalProgress, "advance")],
    "training": [(Training, "run")],
}
"""What is timed. `training` is what is left of the loop when the others are taken off."""


@dataclass
class Clock:
    """Process time by part, and when the first step began by the clock.

    Attributes:
        seconds: by part.
        first_step: on `time.perf_counter`; None before it.
    """

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    first_step: float | None = None
    _inside: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextlib.contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count for this part, and for the outer one again behind it."""
        if part in ("steps", "diagnosis") and self.first_step is None:
            self.first_step = time.perf_counter()
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


@contextlib.contextmanager
def clocked() -> Iterator[Clock]:
    """Time all parts of whatever search is run in this context."""
    clock = Clock()
    with contextlib.ExitStack() as stack:
        for part, places in PARTS.items():
            for owner, name in places:
                timed = clock.timed(getattr(owner, name), part)
                stack.enter_context(patch.object(owner, name, timed))
        yield clock


def main() -> None:
    """Run the search in a temporary folder and print the shares."""
    settings = parse(SearchSettings, "measure_run.py", sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch, clocked() as clock:
        search.run_search(settings, RunFolder(Path(scratch) / "run"), resume=False)
    total = sum(clock.seconds.values())
    for part, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        print(f"{part}: {seconds:.2f} s, {seconds / total:.2%}")
    steps = clock.seconds["steps"] + clock.seconds["diagnosis"]
    print(f"all but steps and diagnosis: {1 - steps / total:.2%}")
    assert clock.first_step is not None
    print(f"start to first step: {clock.first_step - STARTED:.1f} s")


if __name__ == "__main__":
    main()
