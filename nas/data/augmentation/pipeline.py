"""All augmentations of a batch, by settings and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch

from nas.data.augmentation.elastic import displacements, draw_strengths
from nas.data.augmentation.flips import draw_flips, flipped
from nas.data.augmentation.lines import all_lines, copied
from nas.data.augmentation.quarters import draw_quarters, mirrored_quarters
from nas.data.augmentation.rotation import draw_angles, rotate
from nas.data.augmentation.stack import Stack
from nas.data.augmentation.warp import pixel_grid, warp
from nas.data.counter_random import derived_seeds
from nas.settings import AugmentationSettings, Deformation

Streams = dict[Deformation, torch.Tensor]
"""(N,) int64 on the CPU, the seed of each image, for every augmentation that is applied."""


class Augmentation:
    """Changes images at random, in the ways that the settings ask for.

    In this order: a mirrored quarter, flips, rotation, elastic deformation. The first two copy
    pixels; the last two are one resampling of the result, so that nothing is interpolated twice.
    Livne's report deforms before it rotates; since the smoothed field looks alike in all
    directions, the order makes no difference away from the border.

    Each augmentation has random numbers of its own: which others are configured, or kept for
    later by the curriculum, does not change them. What is drawn for an image depends on its seed
    alone, not on the images beside it, and is the same on every device: the decisions are made on
    the CPU, so that nobody waits for a GPU, the fields on the device of the images.

    Livne's published code raises the share of deformed images with the epoch, up to a half, once
    the validation images pass the threshold; here, as in the report, they come in at their full
    share.

    Args:
        settings: which augmentations, how often and how strongly.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        self._settings = settings

    @property
    def is_identity(self) -> bool:
        """Whether nothing is configured."""
        asked = self._settings
        return not (asked.flips or asked.rotation or asked.quarters or asked.elastic)

    def __call__(self, stack: Stack, seeds: Sequence[int], begun: bool) -> Stack:
        """The images, each changed in its own way.

        Args:
            stack: N images with their labels and weights; left as they are.
            seeds: N numbers of 64 bits, signed; the same seed gives the same change.
            begun: whether the augmentations that the curriculum keeps for later are applied.

        Returns:
            A stack of the same size and device: the images in [0, 1], no new label.

        Raises:
            ValueError: the parts of the stack do not fit together.
        """
        size = stack.size
        streams = self._streams(seeds, begun)
        stack = self._copied(stack, streams, size)
        return self._warped(stack, streams, size)

    def _streams(self, seeds: Sequence[int], begun: bool) -> Streams:
        asked = self._settings
        configured: dict[Deformation, bool] = {
            "flips": bool(asked.flips),
            "rotation": asked.rotation > 0,
            "quarters": asked.quarters > 0,
            "elastic": asked.elastic > 0,
        }
        names: tuple[Deformation, ...] = get_args(Deformation)
        own = derived_seeds(torch.tensor(seeds, dtype=torch.int64), len(names)).unbind(dim=1)
        return {
            name: seed
            for name, seed in zip(names, own, strict=True)
            if configured[name] and (begun or name not in asked.curriculum)
        }

    def _copied(self, stack: Stack, streams: Streams, size: tuple[int, int]) -> Stack:
        """Quarters and flips, as one copy of pixels."""
        if not streams.keys() & {"quarters", "flips"}:
            return stack
        asked = self._settings
        lines = all_lines(len(stack.images), size)
        if "quarters" in streams:
            lines = mirrored_quarters(lines, draw_quarters(asked.quarters, streams["quarters"]))
        if "flips" in streams:
            lines = flipped(lines, draw_flips(asked.flips, streams["flips"]))
        return copied(stack, lines)

    def _warped(self, stack: Stack, streams: Streams, size: tuple[int, int]) -> Stack:
        """Rotation and elastic deformation, as one resampling of the images that have either."""
        asked = self._settings
        angles = torch.zeros(len(stack.images), dtype=torch.float64)
        strengths = torch.zeros(len(stack.images))
        if "rotation" in streams:
            angles = draw_angles(asked.rotation, streams["rotation"])
        if "elastic" in streams:
            strengths = draw_strengths(asked.elastic, asked.elastic_alpha, streams["elastic"])
        (moved,) = ((angles != 0) | (strengths != 0)).nonzero(as_tuple=True)
        if not len(moved):
            return stack
        points = pixel_grid(*size, stack.images.device).repeat(len(moved), 1, 1, 1)
        if "elastic" in streams:
            points = self._displaced(points, strengths[moved], streams["elastic"][moved])
        if "rotation" in streams:
            points = rotate(points, angles[moved], size)
        return stack.replaced(moved, warp(stack.chosen(moved), points))

    def _displaced(
        self, points: torch.Tensor, strengths: torch.Tensor, seeds: torch.Tensor
    ) -> torch.Tensor:
        """(N, 2, H, W) points, moved by fields of (N,) strengths; most may be 0."""
        (deformed,) = strengths.nonzero(as_tuple=True)
        size = (points.shape[2], points.shape[3])
        sigma = self._settings.elastic_sigma
        fields = displacements(strengths[deformed], size, sigma, seeds[deformed].to(points.device))
        return points.index_add(0, deformed.to(points.device), fields)
