"""What a search may take, what it was measured to take, and whether that fits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from nas.errors import UsageError
from nas.settings import BudgetSettings

SECONDS = {"min": 60.0, "h": 3600.0}
BYTES = {"MB": 1e6, "GB": 1e9}
UNITS = {unit.lower(): factor for unit, factor in {**SECONDS, **BYTES}.items()}

TIME_MARGIN, MEMORY_MARGIN = 0.05, 0.1
"""A run fits if it does with so much more than was measured."""

PROBED_SHARE = 0.1
"""Share of a time budget that the probe may take."""
PROBED_AT_LEAST = 120.0
"""Seconds that the probe may take of a short budget, but never more than half of it."""
PROBED_FOR_MEMORY = 600.0
"""Seconds that the probe may take where time is not limited."""


@dataclass(frozen=True)
class Limits:
    """The longest duration of a run, in seconds, its largest memory, in bytes; None is no limit."""

    seconds: float | None = None
    bytes: float | None = None

    @property
    def probe_seconds(self) -> float:
        """How long the probe may take."""
        if self.seconds is None:
            return PROBED_FOR_MEMORY
        return min(max(PROBED_SHARE * self.seconds, PROBED_AT_LEAST), self.seconds / 2)


class Measured(Struct, frozen=True):
    """What the probe has measured of settings.

    Attributes:
        steps: of an epoch.
        start_seconds: from the start of the process to the first step, and what the first ones
            take longer than others.
        seconds: of each kind of thing that a run consists of, by the name in its timetable.
        peak_bytes: largest memory.
        base_bytes: memory before the first step, which no smaller image saves.
    """

    steps: int
    start_seconds: float
    seconds: dict[str, float]
    peak_bytes: float
    base_bytes: float


class Unmeasured(Struct, frozen=True):
    """Settings that cannot be measured within the probe, and why."""

    reason: str


def parse_budget(words: Sequence[str]) -> Limits:
    """Words such as ``90min``, ``1.5h``, ``8GB``, ``800MB`` as limits; GB are 10^9 bytes.

    Raises:
        ValueError: a word has another form, is zero, or there are two of time or of memory.
    """
    found: dict[str, float] = {}
    for word in words:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]+)", word)
        factor = UNITS.get(match[2].lower()) if match else None
        if match is None or factor is None or float(match[1]) == 0:
            raise ValueError(
                f"{word!r} is neither a time nor a memory: a number above 0 and its unit in one "
                f"word was expected, such as 90min, 2h, 8GB or 800MB"
            )
        kind = "bytes" if factor in BYTES.values() else "seconds"
        if kind in found:
            raise ValueError(
                f"{word!r} is a second limit of the same kind: give one time, one memory, or both"
            )
        found[kind] = float(match[1]) * factor
    return Limits(**found)


def limits_of(settings: BudgetSettings) -> Limits | None:
    """The limits that the settings set; None where there is no budget.

    Raises:
        UsageError: see `parse_budget`.
    """
    if not settings.budget:
        return None
    try:
        return parse_budget(settings.budget)
    except ValueError as error:
        raise UsageError(f"--budget {' '.join(settings.budget)}: {error}.") from error


def epoch_seconds(measured: Measured, epochs: Sequence[Mapping[str, int]]) -> list[float]:
    """The projected duration of each epoch.

    Args:
        measured: what its parts take.
        epochs: how often each epoch has each part.
    """
    return [
        sum(number * measured.seconds[name] for name, number in epoch.items()) for epoch in epochs
    ]


def fits_time(limits: Limits, seconds: float) -> bool:
    """Whether a duration, with its margin, is within the limits."""
    return limits.seconds is None or seconds * (1 + TIME_MARGIN) <= limits.seconds


def fits_memory(limits: Limits, size: float) -> bool:
    """Whether a peak in bytes, with its margin, is within the limits."""
    return limits.bytes is None or size * (1 + MEMORY_MARGIN) <= limits.bytes


def worst(found: Sequence[Measured | Unmeasured]) -> Measured | Unmeasured:
    """Of what several processes have measured of the same settings, the largest of each number."""
    measured = [each for each in found if isinstance(each, Measured)]
    if len(measured) < len(found):
        return next(each for each in found if isinstance(each, Unmeasured))
    return Measured(
        steps=measured[0].steps,
        start_seconds=max(each.start_seconds for each in measured),
        seconds={
            name: max(each.seconds[name] for each in measured) for name in measured[0].seconds
        },
        peak_bytes=max(each.peak_bytes for each in measured),
        base_bytes=max(each.base_bytes for each in measured),
    )
