"""All augmentations of a sample, by settings and seed."""

from __future__ import annotations

from typing import get_args

import torch

from nas.data.augmentation.elastic import draw_displacement
from nas.data.augmentation.flips import draw_flips, flip
from nas.data.augmentation.quarters import draw_quarter, mirrored_quarter
from nas.data.augmentation.rotation import draw_angle, rotate
from nas.data.augmentation.sample import Sample
from nas.data.augmentation.warp import pixel_grid, warp
from nas.settings import AugmentationSettings, Deformation


class Augmentation:
    """Changes samples at random, in the ways that the settings ask for.

    In this order: a mirrored quarter, flips, rotation, elastic deformation. The first two copy
    pixels; the last two are one resampling of the result, so that nothing is interpolated twice.
    Livne's report deforms before it rotates; since the smoothed field looks alike in all
    directions, the order makes no difference away from the border.

    Each augmentation has random numbers of its own: which others are configured, or kept for
    later by the curriculum, does not change them.

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

    def __call__(self, sample: Sample, seed: int, begun: bool) -> Sample:
        """The sample, changed.

        Args:
            sample: an image with its labels and weights; left as it is.
            seed: of the random numbers; the same seed gives the same change, bit for bit.
            begun: whether the augmentations that the curriculum keeps for later are applied.

        Returns:
            A sample of the same size and device: the image in [0, 1], no new label.

        Raises:
            ValueError: the parts of the sample do not fit together.
        """
        size = sample.size
        asked = self._settings
        streams = {
            name: stream
            for name, stream in _streams(seed).items()
            if begun or name not in asked.curriculum
        }
        if "quarters" in streams:
            quarter = draw_quarter(asked.quarters, streams["quarters"])
            sample = sample if quarter is None else mirrored_quarter(sample, *quarter)
        if "flips" in streams:
            sample = flip(sample, draw_flips(asked.flips, streams["flips"]))
        points = self._points(size, streams)
        return sample if points is None else warp(sample, points)

    def _points(
        self, size: tuple[int, int], streams: dict[Deformation, torch.Generator]
    ) -> torch.Tensor | None:
        """(2, H, W) row and column to resample at; None where neither rotation nor field is."""
        asked = self._settings
        angle = draw_angle(asked.rotation, streams["rotation"]) if "rotation" in streams else 0.0
        field = None
        if "elastic" in streams:
            field = draw_displacement(
                size, asked.elastic, asked.elastic_alpha, asked.elastic_sigma, streams["elastic"]
            )
        if angle == 0.0 and field is None:
            return None
        points = pixel_grid(*size)
        return rotate(points if field is None else points + field, angle, size)


def _streams(seed: int) -> dict[Deformation, torch.Generator]:
    """A generator for each augmentation, seeded by the numbers of one."""
    names: tuple[Deformation, ...] = get_args(Deformation)
    generator = torch.Generator().manual_seed(seed)
    seeds = torch.randint(2**63 - 1, (len(names),), generator=generator).tolist()
    return {
        name: torch.Generator().manual_seed(number)
        for name, number in zip(names, seeds, strict=True)
    }
