"""Flips: left to right, top to bottom."""

from __future__ import annotations

from collections.abc import Collection

import torch

from nas.data.augmentation.sample import Sample

AXES = {"horizontal": -1, "vertical": -2}
"""The axis that each flip reverses: horizontal swaps left and right, vertical top and bottom."""


def draw_flips(directions: Collection[str], generator: torch.Generator) -> tuple[int, ...]:
    """Axes to reverse: each direction with probability 1/2, independent of the other."""
    wanted = torch.rand(len(AXES), generator=generator) < 0.5
    return tuple(
        axis
        for (direction, axis), heads in zip(AXES.items(), wanted.tolist(), strict=True)
        if heads and direction in directions
    )


def flip(sample: Sample, axes: tuple[int, ...]) -> Sample:
    """The sample with the given axes reversed; exact, nothing is interpolated."""
    return sample.mapped(lambda part: part.flip(axes)) if axes else sample
