from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from nas.data.augmentation.sample import Sample
from nas.data.augmentation.warp import pixel_grid, warp

MakeSample = Callable[..., Sample]


def scattered(height: int, width: int, reach: float) -> torch.Tensor:
    """Points up to ``reach`` pixels around the origin."""
    generator = torch.Generator().manual_seed(7)
    return (2 * torch.rand(2, height, width, generator=generator) - 1) * reach


def test_pixel_grid_counts_rows_and_columns() -> None:
    assert pixel_grid(2, 3).tolist() == [[[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]]]


def test_agrees_with_scipy_inside_and_far_outside(make_sample: MakeSample) -> None:
    sample = make_sample(11, 17)
    points = scattered(13, 9, 90)
    warped = warp(sample, points)
    assert warped.weights is not None and sample.weights is not None
    for mine, stored in (
        *zip(warped.image, sample.image, strict=True),
        (warped.weights, sample.weights),
    ):
        theirs = map_coordinates(stored.double().numpy(), points.numpy(), order=1, mode="reflect")
        np.testing.assert_allclose(mine.numpy(), theirs, atol=5e-4)
    nearest = map_coordinates(sample.labels.numpy(), points.numpy(), order=0, mode="reflect")
    np.testing.assert_array_equal(warped.labels.numpy(), nearest)
    assert warped.image.dtype == warped.weights.dtype == torch.float32
    assert warped.labels.dtype == torch.int64


def test_whole_coordinates_copy_pixels(make_sample: MakeSample) -> None:
    sample = make_sample(8, 16)
    warped = warp(sample, pixel_grid(8, 16))
    assert warped.weights is not None and sample.weights is not None
    torch.testing.assert_close(warped.image, sample.image, atol=1e-5, rtol=0)
    torch.testing.assert_close(warped.weights, sample.weights, atol=1e-4, rtol=0)
    assert torch.equal(warped.labels, sample.labels)


def test_outermost_pixels_are_doubled_by_the_mirror() -> None:
    line = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    points = torch.stack((torch.zeros(1, 8), torch.tensor([[-4, -3, -2, -1, 4, 5, 6, 7]]).float()))
    warped = warp(Sample(line[None], (line * 10).round().long(), None), points)
    assert warped.labels.tolist() == [[4, 3, 2, 1, 4, 3, 2, 1]]
    torch.testing.assert_close(warped.image[0] * 10, warped.labels.float(), atol=1e-5, rtol=0)
    assert warped.weights is None


def test_half_a_pixel_is_the_mean_of_two() -> None:
    image = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    points = torch.tensor([[[0.0, 0.5]], [[0.5, 0.0]]])
    warped = warp(Sample(image, torch.zeros(2, 2).long(), None), points)
    torch.testing.assert_close(warped.image, torch.tensor([[[0.5, 0.25]]]))


@settings(max_examples=25, deadline=None)
@given(
    labels=st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=4, unique=True),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    reach=st.floats(0, 40),
)
def test_no_new_label_and_no_value_outside(
    labels: list[int], height: int, width: int, reach: float
) -> None:
    drawn = torch.tensor(labels)[torch.randint(len(labels), (height, width))]
    sample = Sample(torch.rand(2, height, width).round(), drawn, torch.rand(height, width))
    warped = warp(sample, scattered(6, 5, reach))
    assert set(warped.labels.unique().tolist()) <= set(drawn.unique().tolist())
    assert warped.image.min() >= 0 and warped.image.max() <= 1
    assert warped.weights is not None and warped.weights.min() >= 0


def test_an_image_that_is_its_mask_stays_so_away_from_borders() -> None:
    disc = ((pixel_grid(40, 40) - 19.5).square().sum(dim=0) < 150).float()
    points = pixel_grid(40, 40) + scattered(40, 40, 1.5)
    warped = warp(Sample(disc[None], disc.long(), None), points)
    image, labels = warped.image[0], warped.labels.float()
    between_equals = (image < 1e-4) | (image > 1 - 1e-4)
    assert between_equals.float().mean() > 0.8
    torch.testing.assert_close(image[between_equals], labels[between_equals], atol=1e-4, rtol=0)
    # The nearest of four pixels has a weight of 1/4 or more.
    assert (image - labels).abs().max() <= 0.75


def test_wrong_coordinates_are_refused(make_sample: MakeSample) -> None:
    for shape in ((3, 4, 4), (4, 4), (2, 4)):
        with pytest.raises(ValueError, match=r"coordinates \(2, h, w\)"):
            warp(make_sample(), torch.zeros(shape))
