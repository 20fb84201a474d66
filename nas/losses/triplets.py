"""Triplets of pixels with hard negatives, and their margin loss (Nelson 2022, Section 3.5).

Of a triplet, the anchor and the positive are pixels of the foreground and the negative is one of
the background; the loss wants the anchor to be nearer to the positive than to the negative, in what
a network says of them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor
from torch.nn.functional import relu

from nas.data.cases import UNKNOWN

Positives = Literal["random", "boundary"]


def mine_triplets(
    labels: np.ndarray, count: int, rng: np.random.Generator, positives: Positives
) -> np.ndarray:
    """Draw the triplets of each image of a batch.

    - Anchors are `count` different pixels of the foreground, or all where there are fewer.
    - The negative is a background pixel at the least Chebyshev distance from its anchor, each of
      those equally likely.
    - The positive is any other pixel of the foreground (`random`, as published), or any other pixel
      of the foreground with a background pixel among its eight neighbours (`boundary`, which
      Nelson proposes as future work).

    Unknown pixels are in no triplet. An image has none where it has no background, or fewer than
    two foreground pixels. (In an
    image of one row or column, a sole boundary pixel is no anchor for positives of the boundary.)
    Nelson's code raises an error in these cases, where an image has fewer foreground pixels than
    `count`, and where a negative is further away than the image is high.

    Args:
        labels: (N, H, W) class indices, or `UNKNOWN`; every class but 0 is foreground.
        count: triplets of an image, 1 or more.
        rng: source of all choices.
        positives: which pixels are positives.

    Returns:
        (M, 3) int64 with M <= N * count: flat indices into N * H * W of anchor, positive and
        negative.

    Raises:
        ValueError: labels is not a three-dimensional array of integers, count is below 1, or there
            is no such kind of positives.
    """
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 3:
        raise ValueError("Expected a three-dimensional array (N, H, W) of class indices.")
    if count < 1 or positives not in ("random", "boundary"):
        raise ValueError(
            f"There are {count} triplets with {positives} positives: expected 1 or more, with "
            "random or boundary positives."
        )
    pixels = labels.shape[1] * labels.shape[2]
    found = [
        _mine(image, count, rng, positives) + index * pixels for index, image in enumerate(labels)
    ]
    return np.concatenate([np.zeros((0, 3), dtype=np.int64), *found])


def triplet_loss(probabilities: Tensor, triplets: Tensor, margin: float) -> Tensor:
    """Sum over the triplets (a, p, n) of max(|a - p| - |a - n| + margin, 0).

    Nelson 2022, Eq. 5, 6.1 and 8, with one number as the embedding of a pixel. As published it is
    no mean: it grows with the number of triplets. Nelson's code takes the probability of the
    background, which between two classes has the same differences.

    Args:
        probabilities: (N, H, W), of the foreground.
        triplets: (M, 3) int64, flat indices of anchor, positive and negative (`mine_triplets`).
        margin: of the distances, > 0.

    Returns:
        A scalar, 0 where there are no triplets.
    """
    anchor, positive, negative = probabilities.flatten()[triplets].unbind(dim=1)
    return relu((anchor - positive).abs() - (anchor - negative).abs() + margin).sum()


def _mine(
    labels: np.ndarray, count: int, rng: np.random.Generator, positives: Positives
) -> np.ndarray:
    """(M, 3) flat indices into one image, (H, W) class indices."""
    from scipy.ndimage import distance_transform_cdt

    background = labels == 0
    pixels = np.flatnonzero(~background & (labels != UNKNOWN))
    if not len(pixels) or not background.any():
        return np.zeros((0, 3), dtype=np.int64)
    radii = distance_transform_cdt(~background, metric="chessboard").ravel()
    pool = pixels[radii[pixels] == 1] if positives == "boundary" else pixels
    if len(pool) == 1:
        pixels = np.setdiff1d(pixels, pool)
    anchors = rng.choice(pixels, min(count, len(pixels)), replace=False)
    if not len(anchors) or not len(pool):
        return np.zeros((0, 3), dtype=np.int64)
    negatives = _on_rings(anchors, radii[anchors].astype(np.int64), background, rng)
    return np.stack([anchors, _others(anchors, pool, rng), negatives], axis=1)


def _others(anchors: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each anchor a random one of the pool, (P,) in ascending order, that is not the anchor."""
    places = np.searchsorted(pool, anchors)
    inside = pool[np.minimum(places, len(pool) - 1)] == anchors
    drawn = rng.integers(0, len(pool) - inside)
    return pool[drawn + (inside & (drawn >= places))]


def _on_rings(
    centres: np.ndarray, radii: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """For each centre a random wanted pixel on the square ring of its radius; each ring has one."""
    starts = np.cumsum(8 * radii) - 8 * radii
    down, right = _rings(radii, starts)
    height, width = wanted.shape
    row = np.repeat(centres // width, 8 * radii) + down
    column = np.repeat(centres % width, 8 * radii) + right
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    flat = np.where(inside, row * width + column, 0)
    admitted = inside & wanted.ravel()[flat]
    choices = np.add.reduceat(admitted, starts, dtype=np.int64)
    first = np.cumsum(choices) - choices
    return flat[np.flatnonzero(admitted)[first + rng.integers(0, choices)]]


def _rings(radii: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets down and right of the 8 r pixels of each ring, one ring behind the other.

    A ring has four sides of 2 r pixels: below, right, above, left; each begins at the corner where
    the one before ends.
    """
    radius = np.repeat(radii, 8 * radii)
    numbers = np.arange(len(radius)) - np.repeat(starts, 8 * radii)
    side, along = np.divmod(numbers, 2 * radius)
    sign = np.where(side < 2, 1, -1)
    across, along = sign * radius, sign * (along - radius)
    upright = side % 2 == 1
    return np.where(upright, -along, across), np.where(upright, across, along)
