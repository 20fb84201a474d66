"""Resampling of images at a grid of points."""

from __future__ import annotations

import torch
from torch.nn import functional

from nas.data.augmentation.stack import Stack


def pixel_grid(height: int, width: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(2, H, W) float32: row and column of every pixel; its centre has whole numbers."""
    rows = torch.arange(height, dtype=torch.float32, device=device)
    columns = torch.arange(width, dtype=torch.float32, device=device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def warp(stack: Stack, coordinates: torch.Tensor) -> Stack:
    """The images at the given points of themselves.

    Images and weights are interpolated bilinearly; labels are those of the nearest pixel, so that
    no new label arises. Outside, the picture goes on mirrored at its border, the outermost pixels
    twice (d c b a | a b c d), as often as needed.

    Args:
        stack: what is resampled; labels are exact below 2^24.
        coordinates: (N, 2, h, w) float32, row and column in pixels of the point from which each
            pixel of the result is taken, on the device of the stack.

    Returns:
        A stack of h x w pixels; its images stay in [0, 1].

    Raises:
        ValueError: the coordinates have another shape, or the parts of the stack do not fit
            together.
    """
    size = stack.size
    if coordinates.ndim != 4 or coordinates.shape[:2] != (len(stack.images), 2):
        raise ValueError(
            f"expected coordinates ({len(stack.images)}, 2, h, w), found {tuple(coordinates.shape)}"
        )
    grid = _normalised(coordinates, size)
    images, weights = _interpolated(stack.images, stack.weights, grid)
    labels = stack.labels
    if labels is not None:
        labels = _sampled(labels.float()[:, None], grid, "nearest")[:, 0].long()
    # A weighted mean of values up to 1 may exceed 1 by its rounding, which devices do differently.
    return Stack(images.clamp(0.0, 1.0), labels, weights)


def _interpolated(
    images: torch.Tensor, weights: torch.Tensor | None, grid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Images and weights in one pass, the weights as one more channel."""
    if weights is None:
        return _sampled(images, grid, "bilinear"), None
    both = _sampled(torch.cat((images, weights[:, None]), dim=1), grid, "bilinear")
    return both[:, :-1], both[:, -1]


def _normalised(coordinates: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, h, w, 2) column and row, where -1 and 1 are the outer edges of the border pixels."""
    sides = coordinates.new_tensor([size[1], size[0]]).view(2, 1, 1)
    return coordinates.flip(1).mul_(2).add_(1).div_(sides).sub_(1).movedim(1, -1)


def _sampled(pictures: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    return functional.grid_sample(
        pictures, grid, mode=mode, padding_mode="reflection", align_corners=False
    )
