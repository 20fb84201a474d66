"""Picks the settings of a search that fit its budget: the first on the ladder that do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import torch

from nas.budget.ladder import BF16, DISCRIMINATOR, STEADY, Candidate, Saving, candidates
from nas.budget.limits import (
    Limits,
    Measured,
    Unmeasured,
    epoch_seconds,
    fits_memory,
    fits_time,
    limits_of,
    worst,
)
from nas.budget.probe import probe
from nas.budget.timetable import Timetable, steps_of
from nas.devices import resolve_device
from nas.errors import UsageError
from nas.ranks import agreed, gathered
from nas.settings import BudgetSettings, SearchSettings
from nas.tracking import duration

YOURS = "your settings"

MOST_GAIN = {"cpu": 3.0, "cuda": 10.0}
"""By captured steps, on a device: so many times as fast, a run may still be expected to fit. On a
CPU up to 1.8 were seen in one stream (`tools/benchmark_step.py`), and 2.8 in two (by `--budget`
itself, see README); the other is a guess."""

CAPTURED_AFTER = 15
"""Steps that a probe takes, about, until the first one is replayed."""

SHORTEST_PROBE = 30.0
"""Seconds that one candidate has at least, as long as the probe has them."""


@dataclass(frozen=True)
class Tried:
    """A candidate, and what it would take.

    Attributes:
        candidate: the settings.
        found: what was measured of them.
        spent_seconds: from the beginning of the probe until that was known.
        limits: of the run.
    """

    candidate: Candidate
    found: Measured | Unmeasured
    spent_seconds: float
    limits: Limits

    @property
    def options(self) -> str:
        """What differs from the user's settings, as options."""
        return as_options(self.candidate.changes) or YOURS

    @property
    def timetable(self) -> Timetable:
        """That of the run."""
        return Timetable.of(self.candidate.settings, self.measured.steps)

    @property
    def measured(self) -> Measured:
        """What was measured, of a candidate of which something was."""
        assert isinstance(self.found, Measured)
        return self.found

    @property
    def seconds(self) -> float:
        """The projected duration of the run, the probe so far included."""
        return self.seconds_of(self.timetable)

    def seconds_of(self, timetable: Timetable) -> float:
        """As `seconds`, if the run had another timetable."""
        return self.fixed_seconds + sum(epoch_seconds(self.measured, timetable.contents()))

    @property
    def fixed_seconds(self) -> float:
        """What goes before the first step."""
        return self.spent_seconds + self.measured.start_seconds

    @property
    def step_seconds(self) -> float:
        """Mean duration of the steps of the run."""
        steps = [steps_of(each) for each in self.timetable.contents()]
        return sum(epoch_seconds(self.measured, steps)) / sum(each.total() for each in steps)

    @property
    def is_measured(self) -> bool:
        """Whether anything is known of it."""
        return isinstance(self.found, Measured)

    @property
    def fits_time(self) -> bool:
        """Whether it ends in time."""
        return self.is_measured and fits_time(self.limits, self.seconds)

    @property
    def fits_memory(self) -> bool:
        """Whether memory suffices for it."""
        return self.is_measured and fits_memory(self.limits, self.measured.peak_bytes)

    @property
    def fits(self) -> bool:
        """Whether both do."""
        return self.fits_time and self.fits_memory

    @property
    def excess(self) -> float:
        """How many times the budget it takes, of time or memory, whichever is more."""
        return max(
            self.seconds / (self.limits.seconds or math.inf),
            self.measured.peak_bytes / (self.limits.bytes or math.inf),
        )

    def __str__(self) -> str:
        if isinstance(self.found, Unmeasured):
            return f"{self.options}: {self.found.reason}"
        return f"{self.options}: {duration(self.seconds)}, {gigabytes(self.found.peak_bytes)}"


def as_options(changes: Mapping[str, Any]) -> str:
    """Settings as they are written on the command line."""
    words = []
    for name, value in changes.items():
        words.append(f"--{name.replace('_', '-')}")
        words += [] if value is True else [str(value)]
    return " ".join(words)


def gigabytes(size: float) -> str:
    """Bytes in words: 1.24 GB."""
    return f"{size / 1e9:.2f} GB"


def climb(
    offered: Iterable[Candidate],
    measure: Callable[[SearchSettings], Measured | Unmeasured],
    limits: Limits,
    spent: Callable[[], float],
    most_gain: float = MOST_GAIN["cpu"],
) -> Iterator[Tried]:
    """Try one candidate after the other, up to the first that fits.

    What saves memory at the cost of time, or time at that of memory, is tried only where this may
    help and can be measured, and no longer once it could not.

    Args:
        offered: in the order of trial.
        measure: says what settings take.
        limits: of the run.
        spent: seconds since the probe began.
        most_gain: that captured steps may bring.
    """
    beside: Tried | None = None
    hopeless: set[Saving] = set()
    for candidate in offered:
        saves = candidate.saves
        left = limits.probe_seconds - spent()
        if saves and (
            saves in hopeless or (beside and not _may_help(saves, beside, most_gain, left))
        ):
            continue
        tried = Tried(candidate, measure(candidate.settings), spent(), limits)
        yield tried
        if tried.fits:
            return
        if saves is None:
            beside = tried
        elif not tried.is_measured:
            hopeless.add(saves)


def _may_help(saves: Saving, beside: Tried, most_gain: float, left: float) -> bool:
    """Whether saving what a candidate takes too much of may make it fit, and can be measured."""
    if not beside.is_measured:
        return saves == "memory"
    if saves == "memory":
        return beside.fits_time
    needed = beside.measured.start_seconds + CAPTURED_AFTER * beside.step_seconds
    return beside.fits_memory and beside.excess < most_gain and needed < left / 2


def pick(
    settings: SearchSettings,
    given: Collection[str],
    check: Callable[[SearchSettings], None],
    say: Callable[[str], None],
) -> list[Tried]:
    """Measure settings until some fit the budget; these are the last of the list, if any do.

    Args:
        settings: the user's, with a budget.
        given: names of those that the user has set.
        check: raises UsageError for settings that contradict each other.
        say: tells the user what goes on.

    Raises:
        DataError, UsageError, RunError: the search could not begin.
    """
    limits = limits_of(settings.budget)
    assert limits is not None
    say(
        f"Probing this machine for --budget {' '.join(settings.budget.budget)}, "
        f"{duration(limits.probe_seconds)} at most."
    )
    started = time.monotonic()

    def spent() -> float:
        return agreed(time.monotonic() - started)

    unlimited = msgspec.structs.replace(settings, budget=BudgetSettings())

    def measure(wanted: SearchSettings) -> Measured | Unmeasured:
        left = limits.probe_seconds - spent()
        try:
            found = probe(wanted, max(left / 2, min(left, SHORTEST_PROBE)))
        except UsageError as error:
            if wanted == unlimited:
                raise
            found = Unmeasured(str(error).rstrip("."))
        return worst(gathered(found))

    device = resolve_device(settings.run.device)
    offered = candidates(unlimited, given, _has(settings, device), check, _limited(limits))
    tried = []
    for each in climb(offered, measure, limits, spent, MOST_GAIN[device.type]):
        say(f"{each}{', which fits' if each.fits else ''}.")
        tried.append(each)
    return tried


def _limited(limits: Limits) -> list[Saving]:
    amounts: dict[Saving, float | None] = {"memory": limits.bytes, "time": limits.seconds}
    return [name for name, most in amounts.items() if most is not None]


def _has(settings: SearchSettings, device: torch.device) -> list[str]:
    """What rungs may need and this search and machine have."""
    found = {
        DISCRIMINATOR: settings.space.space != "none",
        BF16: device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False),
        STEADY: not settings.game.adversarial_ramp,
    }
    return [name for name, is_there in found.items() if is_there]
