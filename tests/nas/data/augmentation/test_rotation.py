from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate as rotate_by_scipy

from nas.data.augmentation.rotation import draw_angle, rotate
from nas.data.augmentation.sample import Sample
from nas.data.augmentation.warp import pixel_grid, warp

MakeSample = Callable[..., Sample]


def turned(sample: Sample, degrees: float) -> Sample:
    return warp(sample, rotate(pixel_grid(*sample.size), degrees, sample.size))


@pytest.mark.parametrize("side", [12, 13])
@pytest.mark.parametrize("quarters", [-1, 1, 2])
def test_right_angles_of_a_square_are_exact(
    make_sample: MakeSample, side: int, quarters: int
) -> None:
    sample = make_sample(side, side)
    found = turned(sample, 90 * quarters)
    assert torch.equal(found.labels, torch.rot90(sample.labels, quarters))
    expected = torch.rot90(sample.image, quarters, (1, 2))
    torch.testing.assert_close(found.image, expected, atol=1e-5, rtol=0)


def test_half_a_turn_of_a_rectangle(make_sample: MakeSample) -> None:
    sample = make_sample(9, 14)
    assert torch.equal(turned(sample, 180).labels, sample.labels.flip(0, 1))


@pytest.mark.parametrize("degrees", [-70.0, 13.0, 151.0])
def test_any_angle_agrees_with_scipy(make_sample: MakeSample, degrees: float) -> None:
    sample = make_sample(24, 17)
    for mine, stored in zip(turned(sample, degrees).image, sample.image, strict=True):
        theirs = rotate_by_scipy(stored.numpy(), degrees, reshape=False, order=1, mode="reflect")
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-4)


def test_angles_are_uniform_to_either_side() -> None:
    generator = torch.Generator().manual_seed(1)
    angles = np.array([draw_angle(30.0, generator) for _ in range(4000)])
    assert angles.min() >= -30 and angles.max() <= 30
    shares = np.histogram(angles, bins=6, range=(-30, 30))[0] / len(angles)
    np.testing.assert_allclose(shares, 1 / 6, atol=0.025)
