"""Elastic deformation (Simard et al. 2003, section 2; Livne 2019, "Elastic Augmentation").

A field of displacements is drawn uniformly from (-1, 1), for each pixel and each of the two
directions, convolved with a Gaussian of standard deviation sigma, in pixels, and multiplied by
alpha, so that the displacement is in pixels. With sigma = 4, the smoothed field has a standard
deviation of about 0.04: an alpha of 50 moves pixels by about two.

Livne's published code differs from the report: alpha is drawn once, when the program starts, and
is then the same for every image; it lies in (0, 8) with sigma = 8; and masks are interpolated
linearly, which gives labels between the classes. Here alpha is drawn for each image, and the
labels are those of the nearest pixel (`nas.data.augmentation.warp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch

from nas.data.counter_random import symmetric, uniform

TRUNCATE = 4.0
"""The Gaussian is cut off at so many standard deviations."""

BLOCK = 64
"""Pixels of a line that one product of matrices smooths: what is far from them is left out."""

DRAWN = 2
"""Random numbers of a seed that `draw_strengths` takes; those of the field follow."""


def draw_strengths(share: float, alpha: tuple[float, float], seeds: torch.Tensor) -> torch.Tensor:
    """How strongly each image is deformed.

    Args:
        share: probability of a deformation, in [0, 1].
        alpha: least and largest strength in pixels; it is uniform between them.
        seeds: (N,) int64, one of each image.

    Returns:
        (N,) float32 in pixels, 0 where the image stays as it is.
    """
    chance, place = uniform(seeds, DRAWN).unbind(dim=1)
    least, largest = alpha
    return torch.where(chance < share, least + place * (largest - least), 0.0)


def displacements(
    strengths: torch.Tensor, size: tuple[int, int], sigma: float, seeds: torch.Tensor
) -> torch.Tensor:
    """Displacement of every pixel of every image.

    Args:
        strengths: (N,) alpha in pixels.
        size: (height, width) in pixels.
        sigma: standard deviation of the Gaussian in pixels, > 0.
        seeds: (N,) int64, those of `draw_strengths`, on the device to compute on.

    Returns:
        (N, 2, H, W) float32, rows and columns in pixels.
    """
    noise = symmetric(seeds, 2 * size[0] * size[1], first=DRAWN)
    field = smoothed(noise.view(len(seeds), 2, *size), sigma)
    return field.mul_(strengths.to(field).view(-1, 1, 1, 1))


def smoothed(field: torch.Tensor, sigma: float) -> torch.Tensor:
    """Convolution with a Gaussian, along rows and then along columns.

    The kernel is sampled at whole pixels, cut off at `TRUNCATE` sigma and sums to 1. Outside, the
    field is zero, as the plain convolution of a finite field has it: displacements are smaller
    near the border.

    Args:
        field: (..., H, W) floating point.
        sigma: standard deviation in pixels, > 0.

    Returns:
        The same shape.
    """
    height, width = field.shape[-2:]
    rows = _gaussian(height, sigma, field.dtype, field.device)
    columns = _gaussian(width, sigma, field.dtype, field.device)
    half, whole = torch.empty_like(field), torch.empty_like(field)
    for block, near in _blocks(width, sigma):
        half[..., block] = field[..., near] @ columns[near, block]
    for block, near in _blocks(height, sigma):
        whole[..., block, :] = rows[block, near] @ half[..., near, :]
    return whole


def _blocks(length: int, sigma: float) -> Iterator[tuple[slice, slice]]:
    """Parts of a line, each with the part that its smoothed values depend on."""
    radius = _radius(sigma)
    for start in range(0, length, BLOCK):
        end = start + BLOCK
        yield slice(start, end), slice(max(0, start - radius), end + radius)


@lru_cache(maxsize=8)
def _gaussian(length: int, sigma: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(length, length), symmetric: convolution of a line, as a matrix."""
    radius = _radius(sigma)
    offsets = torch.arange(max(length, radius + 1), dtype=torch.float64)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2)) * (offsets <= radius)
    kernel = kernel / (2 * kernel.sum() - kernel[0])
    places = torch.arange(length)
    return kernel[(places[:, None] - places).abs()].to(device, dtype)


def _radius(sigma: float) -> int:
    return int(TRUNCATE * sigma + 0.5)
