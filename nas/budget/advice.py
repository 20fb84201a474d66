"""What to lower where nothing fits a budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from nas.budget.limits import MEMORY_MARGIN, TIME_MARGIN, fits_time
from nas.budget.pick import Tried, gigabytes
from nas.data.sizes import SMALLEST, parse_size
from nas.tracking import duration

GRID = 8
"""Sides that are advised are multiples of this."""


def nothing_fits(tried: Sequence[Tried]) -> str:
    """What the cheapest candidate would take, and what to lower, in a sentence without its end."""
    known = [each for each in tried if each.is_measured]
    if not known:
        return (
            f"no settings could be measured in time ({tried[-1]}): allow more, or lower "
            "--image-size or the width of the networks"
        )
    cheapest = min(known, key=lambda each: each.excess)
    unknown = len(tried) - len(known)
    what = f"nothing fits, and {unknown} of {len(tried)} could not be measured in time"
    return (
        f"{what if unknown else 'nothing fits'}. The cheapest, {cheapest.options}, would take "
        f"{duration(cheapest.seconds)} and {gigabytes(cheapest.measured.peak_bytes)}: "
        f"{_remedy(cheapest)}"
    )


def _remedy(tried: Tried) -> str:
    remedies = []
    epochs = None if tried.fits_time else most_epochs(tried)
    if epochs is not None and tried.fits_memory:
        remedies.append(f"--epochs to {epochs}")
    size = largest_size(tried)
    if size is not None:
        remedies.append(f"--image-size to about {size}")
    if not remedies:
        return "allow more; fewer epochs or smaller images alone would not do"
    return f"lower {', or '.join(remedies)}, or allow more"


def most_epochs(tried: Tried) -> int | None:
    """How many epochs would end in time; None where too few would to search in."""
    table = tried.timetable
    found = None
    least, most = max(table.warmup, table.complete_from) + 1, table.epochs - 1
    while least <= most:
        middle = (least + most) // 2
        fewer = dataclasses.replace(table, epochs=middle)
        if fits_time(tried.limits, tried.seconds_of(fewer)):
            found, least = middle, middle + 1
        else:
            most = middle - 1
    return found


def largest_size(tried: Tried) -> str | None:
    """The image size that would fit if time and memory behind the start grew with the pixels.

    None where not even the smallest would.
    """
    height, width = parse_size(tried.candidate.settings.data.image_size)
    share = math.sqrt(max(0.0, _affordable_pixels(tried)))
    sides = [int(share * side) // GRID * GRID for side in (height, width)]
    if min(sides) < SMALLEST:
        return None
    return str(sides[0]) if height == width else f"{sides[0]}x{sides[1]}"


def _affordable_pixels(tried: Tried) -> float:
    """Share of the pixels that time and memory suffice for, from 0 (or below) to 1."""
    limits, measured = tried.limits, tried.measured
    shares = [1.0]
    if limits.seconds is not None and not tried.fits_time:
        fixed = tried.fixed_seconds
        shares.append((limits.seconds / (1 + TIME_MARGIN) - fixed) / (tried.seconds - fixed))
    if limits.bytes is not None and not tried.fits_memory:
        left = limits.bytes / (1 + MEMORY_MARGIN) - measured.base_bytes
        shares.append(left / (measured.peak_bytes - measured.base_bytes))
    return min(shares)
