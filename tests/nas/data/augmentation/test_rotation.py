from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate as rotate_by_scipy

from nas.data.augmentation.rotation import draw_angles, rotate
from nas.data.augmentation.stack import Stack
from nas.data.augmentation.warp import pixel_grid, warp

MakeStack = Callable[..., Stack]


def turned(stack: Stack, *degrees: float) -> Stack:
    """Each image by an angle of its own."""
    grid = pixel_grid(*stack.size).repeat(len(degrees), 1, 1, 1)
    return warp(stack, rotate(grid, torch.tensor(degrees, dtype=torch.float64), stack.size))


@pytest.mark.parametrize("side", [12, 13])
def test_right_angles_of_a_square_are_exact(make_stack: MakeStack, side: int) -> None:
    stack = make_stack(side, side, count=4)
    found = turned(stack, -90, 0, 90, 180)
    assert stack.labels is not None and found.labels is not None
    for index, quarters in enumerate((-1, 0, 1, 2)):
        assert torch.equal(found.labels[index], torch.rot90(stack.labels[index], quarters))
        expected = torch.rot90(stack.images[index], quarters, (1, 2))
        torch.testing.assert_close(found.images[index], expected, atol=1e-5, rtol=0)


def test_half_a_turn_of_a_rectangle(make_stack: MakeStack) -> None:
    stack = make_stack(9, 14, count=1)
    found = turned(stack, 180).labels
    assert found is not None and stack.labels is not None
    assert torch.equal(found, stack.labels.flip(1, 2))


def test_any_angle_agrees_with_scipy(make_stack: MakeStack) -> None:
    angles = (-70.0, 13.0, 151.0)
    stack = make_stack(24, 17, count=3)
    for mine, stored, degrees in zip(
        turned(stack, *angles).images, stack.images, angles, strict=True
    ):
        theirs = rotate_by_scipy(
            stored.numpy(), degrees, axes=(2, 1), reshape=False, order=1, mode="reflect"
        )
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-4)


def test_angles_are_uniform_to_either_side() -> None:
    angles = draw_angles(30.0, torch.arange(4000)).numpy()
    assert angles.min() >= -30 and angles.max() <= 30
    shares = np.histogram(angles, bins=6, range=(-30, 30))[0] / len(angles)
    np.testing.assert_allclose(shares, 1 / 6, atol=0.025)
