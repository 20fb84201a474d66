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

import torch

TRUNCATE = 4.0
"""The Gaussian is cut off at so many standard deviations."""


def draw_displacement(
    size: tuple[int, int],
    share: float,
    alpha: tuple[float, float],
    sigma: float,
    generator: torch.Generator,
) -> torch.Tensor | None:
    """Displacement of every pixel, with probability ``share``, else None.

    Args:
        size: (height, width) in pixels.
        share: probability of a deformation, in [0, 1].
        alpha: least and largest strength in pixels; it is uniform between them.
        sigma: standard deviation of the Gaussian in pixels, > 0.
        generator: on the CPU.

    Returns:
        (2, H, W) float32, rows and columns in pixels, on the CPU.
    """
    chance, place = torch.rand(2, generator=generator).tolist()
    if chance >= share:
        return None
    least, largest = alpha
    field = 2 * torch.rand((2, *size), generator=generator) - 1
    return smoothed(field, sigma) * (least + place * (largest - least))


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
    return _gaussian(height, sigma).to(field) @ field @ _gaussian(width, sigma).to(field)


def _gaussian(length: int, sigma: float) -> torch.Tensor:
    """(length, length) float64, symmetric: convolution of a line, as a matrix."""
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = torch.arange(max(length, radius + 1), dtype=torch.float64)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2)) * (offsets <= radius)
    kernel = kernel / (2 * kernel.sum() - kernel[0])
    places = torch.arange(length)
    return kernel[(places[:, None] - places).abs()]
