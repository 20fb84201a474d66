"""A quarter of the image, mirrored to full size (Livne 2019, "Mirroring Augmentation")."""

from __future__ import annotations

from typing import NamedTuple

import torch

from nas.data.augmentation.lines import Lines
from nas.data.counter_random import uniform


class Quarters(NamedTuple):
    """What becomes of each image.

    Attributes:
        wanted: (N,) bool, whether it becomes a quarter of itself.
        halves: (N, 2) int64, which one: 0 upper, 1 lower; then 0 left, 1 right.
    """

    wanted: torch.Tensor
    halves: torch.Tensor


def draw_quarters(share: float, seeds: torch.Tensor) -> Quarters:
    """One of the four quarters, each equally likely, with probability ``share``.

    Args:
        share: in [0, 1].
        seeds: (N,) int64, one of each image.
    """
    drawn = uniform(seeds, 3)
    return Quarters(drawn[:, 0] < share, (drawn[:, 1:] < 0.5).long())


def mirrored_quarters(lines: Lines, quarters: Quarters) -> Lines:
    """Lines of the quarters, to the right of them their mirror image, and below both theirs.

    A quarter comes to lie at the top left, whichever it is. Where a side is odd, the middle line
    belongs to both halves, and it is not doubled by the mirror.

    Args:
        lines: of N images.
        quarters: which of them, and which of theirs.
    """
    both = zip(lines, quarters.halves.unbind(dim=1), strict=True)
    return Lines(
        *(
            torch.where(quarters.wanted[:, None], line.gather(1, _half(line, half)), line)
            for line, half in both
        )
    )


def _half(line: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
    """(N, L) places on a line: of a half of it, followed by the same ones in reverse."""
    length = line.shape[1]
    places = torch.arange(length, device=line.device)
    return half[:, None] * (length // 2) + torch.minimum(places, length - 1 - places)
