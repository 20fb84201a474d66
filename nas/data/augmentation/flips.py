"""Flips: left to right, top to bottom."""

from __future__ import annotations

from collections.abc import Collection

import torch

from nas.data.augmentation.lines import Lines
from nas.data.counter_random import uniform

DIRECTIONS = ("vertical", "horizontal")
"""vertical reverses the rows, so that top and bottom are swapped; horizontal the columns."""


def draw_flips(directions: Collection[str], seeds: torch.Tensor) -> torch.Tensor:
    """Which of `DIRECTIONS` each image is flipped in.

    Each direction that is given has a probability of 1/2, independent of the other.

    Args:
        directions: names of those that may be.
        seeds: (N,) int64, one of each image.

    Returns:
        (N, 2) bool.
    """
    possible = torch.tensor([direction in directions for direction in DIRECTIONS])
    return (uniform(seeds, len(DIRECTIONS)) < 0.5) & possible.to(seeds.device)


def flipped(lines: Lines, wanted: torch.Tensor) -> Lines:
    """The lines of each image, in reverse in the directions that are wanted, (N, 2) bool."""
    both = zip(lines, wanted.unbind(dim=1), strict=True)
    return Lines(*(torch.where(chosen[:, None], line.flip(1), line) for line, chosen in both))
