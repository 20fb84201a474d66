"""Rotation about the centre of the image."""

from __future__ import annotations

import torch

from nas.data.counter_random import uniform


def draw_angles(largest: float, seeds: torch.Tensor) -> torch.Tensor:
    """Degrees, uniform between ``-largest`` and ``largest``.

    Args:
        largest: 0 or more.
        seeds: (N,) int64, one of each image.

    Returns:
        (N,) float64.
    """
    return (2 * uniform(seeds, 1)[:, 0].double() - 1) * largest


def rotate(coordinates: torch.Tensor, degrees: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Where rotated images take their pixels from.

    Args:
        coordinates: (N, 2, h, w) row and column in pixels, of points of the rotated images.
        degrees: (N,) float64, how far each image is turned, counter-clockwise as it is seen.
        size: (height, width) of the images, which turn about their centre.

    Returns:
        (N, 2, h, w) row and column of the same points in the images as they were.
    """
    middle = coordinates.new_tensor([(size[0] - 1) / 2, (size[1] - 1) / 2]).view(2, 1, 1)
    radians = degrees.deg2rad()
    cosine, sine = (part.to(coordinates)[:, None, None] for part in (radians.cos(), radians.sin()))
    offsets = coordinates - middle
    down, right = offsets.unbind(dim=1)
    turned = offsets * cosine[:, None]
    turned[:, 0].addcmul_(sine, right)
    turned[:, 1].addcmul_(sine, down, value=-1)
    return turned.add_(middle)
