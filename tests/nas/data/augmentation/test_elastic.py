from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from nas.data.augmentation.elastic import displacements, draw_strengths, smoothed
from nas.data.augmentation.stack import Stack
from nas.data.augmentation.warp import pixel_grid, warp
from nas.data.counter_random import random_bits, symmetric

MakeStack = Callable[..., Stack]


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.sampled_from([1, 2, 29, 63, 64, 65, 150]),
    sigma=st.sampled_from([0.01, 0.3, 1.0, 2.6, 4.0, 9.0]),
)
def test_smoothing_is_that_of_scipy(height: int, width: int, sigma: float) -> None:
    for shape in ((2, height, width), (1, 2, width, height)):
        field = torch.rand(shape, dtype=torch.float64)
        theirs = np.stack(
            [
                gaussian_filter(part, sigma, mode="constant", truncate=4.0)
                for part in field.flatten(0, -3).numpy()
            ]
        ).reshape(shape)
        np.testing.assert_allclose(smoothed(field, sigma).numpy(), theirs, atol=1e-12)


def fields(count: int, size: tuple[int, int], alpha: float, sigma: float) -> torch.Tensor:
    return displacements(torch.full((count,), alpha), size, sigma, torch.arange(count))


def test_whole_deformation_agrees_with_scipy(make_stack: MakeStack) -> None:
    stack = make_stack(33, 41)
    alphas, seeds = torch.tensor([50.0, 20.0]), torch.tensor([4, -9])
    field = displacements(alphas, stack.size, 3.0, seeds)
    warped = warp(stack, pixel_grid(33, 41) + field)
    noise = symmetric(seeds, 2 * 33 * 41, first=2).view(2, 2, 33, 41).double().numpy()
    assert stack.labels is not None and warped.labels is not None
    for index, alpha in enumerate((50, 20)):
        expected = [alpha * gaussian_filter(part, 3.0, mode="constant") for part in noise[index]]
        np.testing.assert_allclose(field[index].numpy(), expected, atol=1e-4)
        points = np.indices((33, 41)) + np.asarray(expected)
        image = map_coordinates(stack.images[index, 0].numpy(), points, order=1, mode="reflect")
        labels = map_coordinates(stack.labels[index].numpy(), points, order=0, mode="reflect")
        np.testing.assert_allclose(warped.images[index, 0].numpy(), image, atol=1e-3)
        assert (warped.labels[index].numpy() == labels).mean() > 0.999


def test_field_is_uniform_before_smoothing_and_has_two_independent_directions() -> None:
    (field,) = fields(1, (150, 150), 1.0, 0.01)
    assert field.dtype == torch.float32
    assert field.min() >= -1 and field.max() <= 1
    for part in field.numpy():
        shares = np.histogram(part, bins=4, range=(-1, 1))[0] / part.size
        np.testing.assert_allclose(shares, 0.25, atol=0.012)
        beside = np.corrcoef(part[:, 1:].ravel(), part[:, :-1].ravel())[0, 1]
        below = np.corrcoef(part[1:].ravel(), part[:-1].ravel())[0, 1]
        assert abs(beside) < 0.03 and abs(below) < 0.03
    assert abs(np.corrcoef(field.flatten(1).numpy())[0, 1]) < 0.03


def test_strength_is_in_pixels() -> None:
    # The sum of squares of a Gaussian kernel is 1 / (4 pi sigma^2); uniform noise has 1/3.
    (field,) = fields(1, (400, 400), 50.0, 4.0)
    inner = field[:, 20:-20, 20:-20]
    expected = 50 * (1 / 3 / (4 * np.pi * 4.0**2)) ** 0.5
    assert inner.std().item() == pytest.approx(expected, rel=0.05)


def test_a_field_does_not_depend_on_those_beside_it() -> None:
    seeds, alphas = torch.tensor([3, 8, 11]), torch.tensor([10.0, 20.0, 30.0])
    together = displacements(alphas, (40, 70), 4.0, seeds)
    for index in range(3):
        one = slice(index, index + 1)
        alone = displacements(alphas[one], (40, 70), 4.0, seeds[one])
        torch.testing.assert_close(alone, together[one], rtol=0, atol=1e-5)
    assert not torch.allclose(together[0] * 2, together[1], atol=0.1)


def test_alpha_is_uniform_and_drawn_for_each_image() -> None:
    strengths = draw_strengths(1.0, (20.0, 50.0), torch.arange(3000)).numpy()
    assert strengths.min() >= 20 and strengths.max() <= 50
    shares = np.histogram(strengths, bins=3, range=(20, 50))[0] / 3000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.04)


def test_share_of_the_images() -> None:
    seeds = torch.arange(3000)
    deformed = draw_strengths(0.3, (5.0, 5.0), seeds)
    assert set(deformed.tolist()) == {0.0, 5.0}
    assert (deformed > 0).float().mean().item() == pytest.approx(0.3, abs=0.034)
    assert not draw_strengths(0.0, (5.0, 5.0), seeds).any()
    assert draw_strengths(1.0, (5.0, 5.0), seeds).all()


def test_whether_how_strongly_and_how_are_told_by_different_numbers() -> None:
    seeds = torch.arange(2000)
    strengths = draw_strengths(0.5, (1.0, 2.0), seeds)
    chosen = strengths > 0
    assert strengths[chosen].mean().item() == pytest.approx(1.5, abs=4 * 0.289 / 1000**0.5)
    field = symmetric(seeds, 4, first=2)
    assert not (field[:, :1] == symmetric(seeds, 4)).any()
    assert random_bits(seeds, 2)[:, 1].unique().numel() == 2000
    assert abs(np.corrcoef(field[:, 0].numpy(), chosen.numpy())[0, 1]) < 0.09


def test_alpha_of_zero_moves_nothing() -> None:
    assert not fields(1, (6, 5), 0.0, 0.01).any()
