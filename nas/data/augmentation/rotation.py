"""Rotation about the centre of the image."""

from __future__ import annotations

import math

import torch


def draw_angle(largest: float, generator: torch.Generator) -> float:
    """Degrees, uniform between ``-largest`` and ``largest``."""
    return (2 * torch.rand((), generator=generator).item() - 1) * largest


def rotate(coordinates: torch.Tensor, degrees: float, size: tuple[int, int]) -> torch.Tensor:
    """Where a rotated image takes its pixels from.

    Args:
        coordinates: (2, h, w) row and column in pixels, of points of the rotated image.
        degrees: how far the image is turned, counter-clockwise as it is seen.
        size: (height, width) of the image, which turns about its centre.

    Returns:
        (2, h, w) row and column of the same points in the image as it was.
    """
    middle = coordinates.new_tensor([(size[0] - 1) / 2, (size[1] - 1) / 2]).view(2, 1, 1)
    down, right = coordinates - middle
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return middle + torch.stack((cosine * down + sine * right, cosine * right - sine * down))
