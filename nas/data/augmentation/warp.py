"""Resampling of a sample at a grid of points."""

from __future__ import annotations

import torch
from torch.nn import functional

from nas.data.augmentation.sample import Sample


def pixel_grid(height: int, width: int) -> torch.Tensor:
    """(2, H, W) float32: row and column of every pixel; its centre has whole numbers."""
    rows = torch.arange(height, dtype=torch.float32)
    columns = torch.arange(width, dtype=torch.float32)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def warp(sample: Sample, coordinates: torch.Tensor) -> Sample:
    """The sample at the given points of itself.

    Image and weights are interpolated bilinearly; labels are those of the nearest pixel, so that
    no new label arises. Outside, the picture goes on mirrored at its border, the outermost pixels
    twice (d c b a | a b c d), as often as needed.

    Args:
        sample: what is resampled; labels are exact below 2^24.
        coordinates: (2, h, w) float32, row and column in pixels of the point from which each
            pixel of the result is taken; moved to the sample's device.

    Returns:
        A sample of h x w pixels; its image stays in [0, 1].

    Raises:
        ValueError: the coordinates have another shape, or the parts of the sample do not fit
            together.
    """
    if coordinates.ndim != 3 or coordinates.shape[0] != 2:
        raise ValueError(f"expected coordinates (2, h, w), found {tuple(coordinates.shape)}")
    grid = _normalised(coordinates, sample.size).to(sample.image.device)
    labels = _sampled(sample.labels.float()[None], grid, "nearest")[0].long()
    weights = sample.weights
    if weights is not None:
        weights = _sampled(weights[None], grid, "bilinear")[0]
    # A weighted mean of values up to 1 may exceed 1 by its rounding, which devices do differently.
    image = _sampled(sample.image, grid, "bilinear").clamp_(0.0, 1.0)
    return Sample(image, labels, weights)


def _normalised(coordinates: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(1, h, w, 2) column and row, where -1 and 1 are the outer edges of the border pixels."""
    height, width = size
    rows, columns = coordinates
    return torch.stack(((2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1), dim=-1)[None]


def _sampled(picture: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    return functional.grid_sample(
        picture[None], grid, mode=mode, padding_mode="reflection", align_corners=False
    )[0]
