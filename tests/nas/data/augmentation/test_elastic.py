from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from nas.data.augmentation.elastic import draw_displacement, smoothed
from nas.data.augmentation.sample import Sample
from nas.data.augmentation.warp import pixel_grid, warp

MakeSample = Callable[..., Sample]


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    sigma=st.sampled_from([0.01, 0.3, 1.0, 2.6, 4.0, 9.0]),
)
def test_smoothing_is_that_of_scipy(height: int, width: int, sigma: float) -> None:
    field = torch.rand(2, height, width, dtype=torch.float64)
    theirs = [gaussian_filter(part, sigma, mode="constant", truncate=4.0) for part in field.numpy()]
    np.testing.assert_allclose(smoothed(field, sigma).numpy(), theirs, atol=1e-12)


def draws(count: int, **changes: object) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(11)
    options: dict[str, object] = {
        "size": (6, 5),
        "share": 1.0,
        "alpha": (20.0, 50.0),
        "sigma": 0.01,
        **changes,
    }
    return [draw_displacement(**options, generator=generator) for _ in range(count)]  # type: ignore[arg-type]


def test_whole_deformation_agrees_with_scipy(make_sample: MakeSample) -> None:
    sample = make_sample(33, 41)
    generator = torch.Generator().manual_seed(4)
    field = draw_displacement(sample.size, 1.0, (50.0, 50.0), 3.0, generator)
    generator.manual_seed(4)
    torch.rand(2, generator=generator)
    noise = 2 * torch.rand((2, 33, 41), generator=generator).double().numpy() - 1
    expected = [50 * gaussian_filter(part, 3.0, mode="constant") for part in noise]
    assert field is not None
    np.testing.assert_allclose(field.numpy(), expected, atol=1e-4)
    warped = warp(sample, pixel_grid(33, 41) + field)
    points = np.indices((33, 41)) + np.asarray(expected)
    image = map_coordinates(sample.image[0].numpy(), points, order=1, mode="reflect")
    labels = map_coordinates(sample.labels.numpy(), points, order=0, mode="reflect")
    np.testing.assert_allclose(warped.image[0].numpy(), image, atol=1e-3)
    assert (warped.labels.numpy() == labels).mean() > 0.999


def test_field_is_uniform_before_smoothing_and_has_two_independent_directions() -> None:
    (field,) = draws(1, size=(150, 150), alpha=(1.0, 1.0))
    assert field is not None and field.dtype == torch.float32
    assert field.min() >= -1 and field.max() <= 1
    for part in field.numpy():
        shares = np.histogram(part, bins=4, range=(-1, 1))[0] / part.size
        np.testing.assert_allclose(shares, 0.25, atol=0.012)
    assert abs(np.corrcoef(field.flatten(1).numpy())[0, 1]) < 0.03


def test_strength_is_in_pixels() -> None:
    # The sum of squares of a Gaussian kernel is 1 / (4 pi sigma^2); uniform noise has 1/3.
    (field,) = draws(1, size=(400, 400), alpha=(50.0, 50.0), sigma=4.0)
    assert field is not None
    inner = field[:, 20:-20, 20:-20]
    expected = 50 * (1 / 3 / (4 * np.pi * 4.0**2)) ** 0.5
    assert inner.std().item() == pytest.approx(expected, rel=0.05)


def test_alpha_is_uniform_and_drawn_for_each_image() -> None:
    # The largest of 60 uniform numbers is close to 1, so the largest displacement to alpha.
    largest = np.array([field.abs().max() for field in draws(3000) if field is not None])
    assert largest.max() <= 50
    shares = np.histogram(largest / (60 / 61), bins=3, range=(20, 50))[0] / 3000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.04)


def test_share_of_the_images() -> None:
    deformed = sum(field is not None for field in draws(3000, share=0.3))
    assert deformed / 3000 == pytest.approx(0.3, abs=0.034)
    assert all(field is None for field in draws(50, share=0.0))
    assert all(field is not None for field in draws(50, share=1.0))


def test_alpha_of_zero_moves_nothing() -> None:
    (field,) = draws(1, alpha=(0.0, 0.0))
    assert field is not None and not field.any()
