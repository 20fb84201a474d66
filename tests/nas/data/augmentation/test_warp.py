from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from nas.data.augmentation.stack import Stack
from nas.data.augmentation.warp import pixel_grid, warp

MakeStack = Callable[..., Stack]


def scattered(count: int, height: int, width: int, reach: float) -> torch.Tensor:
    """Points up to ``reach`` pixels around the origin."""
    generator = torch.Generator().manual_seed(7)
    return (2 * torch.rand(count, 2, height, width, generator=generator) - 1) * reach


def test_pixel_grid_counts_rows_and_columns() -> None:
    assert pixel_grid(2, 3).tolist() == [[[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]]]


def test_agrees_with_scipy_inside_and_far_outside(make_stack: MakeStack) -> None:
    stack = make_stack(11, 17)
    points = scattered(2, 13, 9, 90)
    warped = warp(stack, points)
    assert warped.weights is not None and stack.weights is not None
    assert warped.labels is not None and stack.labels is not None
    for index in range(2):
        for mine, stored in (
            *zip(warped.images[index], stack.images[index], strict=True),
            (warped.weights[index], stack.weights[index]),
        ):
            theirs = map_coordinates(
                stored.double().numpy(), points[index].numpy(), order=1, mode="reflect"
            )
            np.testing.assert_allclose(mine.numpy(), theirs, atol=5e-4)
        nearest = map_coordinates(
            stack.labels[index].numpy(), points[index].numpy(), order=0, mode="reflect"
        )
        np.testing.assert_array_equal(warped.labels[index].numpy(), nearest)
    assert warped.images.dtype == warped.weights.dtype == torch.float32
    assert warped.labels.dtype == torch.int64


def test_whole_coordinates_copy_pixels(make_stack: MakeStack) -> None:
    stack = make_stack(8, 16)
    warped = warp(stack, pixel_grid(8, 16).repeat(2, 1, 1, 1))
    assert warped.weights is not None and stack.weights is not None
    assert warped.labels is not None and stack.labels is not None
    torch.testing.assert_close(warped.images, stack.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(warped.weights, stack.weights, atol=1e-4, rtol=0)
    assert torch.equal(warped.labels, stack.labels)


def test_weights_change_nothing_of_the_images(make_stack: MakeStack) -> None:
    stack, points = make_stack(11, 17), scattered(2, 13, 9, 90)
    assert torch.equal(
        warp(stack, points).images, warp(stack._replace(weights=None), points).images
    )


def test_outermost_pixels_are_doubled_by_the_mirror() -> None:
    line = torch.tensor([[[0.1, 0.2, 0.3, 0.4]]])
    across = torch.tensor([[-4, -3, -2, -1, 4, 5, 6, 7]]).float()
    points = torch.stack((torch.zeros(1, 8), across))[None]
    warped = warp(Stack(line[None], (line * 10).round().long()), points)
    assert warped.labels is not None and warped.weights is None
    assert warped.labels[0].tolist() == [[4, 3, 2, 1, 4, 3, 2, 1]]
    torch.testing.assert_close(warped.images[0] * 10, warped.labels.float(), atol=1e-5, rtol=0)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    image = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    points = torch.tensor([[[[0.0, 0.5]], [[0.5, 0.0]]]])
    warped = warp(Stack(image), points)
    torch.testing.assert_close(warped.images, torch.tensor([[[[0.5, 0.25]]]]))
    assert warped.labels is None and warped.weights is None


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
    drawn = torch.tensor(labels)[torch.randint(len(labels), (2, height, width))]
    stack = Stack(torch.rand(2, 2, height, width).round(), drawn, torch.rand(2, height, width))
    warped = warp(stack, scattered(2, 6, 5, reach))
    assert warped.labels is not None and warped.weights is not None
    for mine, stored in zip(warped.labels, drawn, strict=True):
        assert set(mine.unique().tolist()) <= set(stored.unique().tolist())
    assert warped.images.min() >= 0 and warped.images.max() <= 1
    assert warped.weights.min() >= 0


def test_an_image_that_is_its_mask_stays_so_away_from_borders() -> None:
    disc = ((pixel_grid(40, 40) - 19.5).square().sum(dim=0) < 150).float()[None]
    points = pixel_grid(40, 40) + scattered(1, 40, 40, 1.5)
    warped = warp(Stack(disc[None], disc.long()), points)
    assert warped.labels is not None
    image, labels = warped.images[0], warped.labels.float()
    between_equals = (image < 1e-4) | (image > 1 - 1e-4)
    assert between_equals.float().mean() > 0.8
    torch.testing.assert_close(image[between_equals], labels[between_equals], atol=1e-4, rtol=0)
    # The nearest of four pixels has a weight of 1/4 or more.
    assert (image - labels).abs().max() <= 0.75


def test_wrong_coordinates_are_refused(make_stack: MakeStack) -> None:
    for shape in ((2, 3, 4, 4), (2, 4, 4), (1, 2, 4, 4), (3, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"coordinates \(2, 2, h, w\)"):
            warp(make_stack(), torch.zeros(shape))
