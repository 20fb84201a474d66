"""Cross-entropy in which pixels count differently."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

from nas.data.cases import UNKNOWN


def class_frequency_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weight of each pixel by how rare its class is in this image (Livne).

    The weight of a pixel is w_c, plus `border_weights` where these are wanted (Ronneberger et al.
    2015, Eq. 2).

    w_c = (1 / pixels of class c) / max over the classes present, so that the rarest class present
    has the weight 1, and all classes present have the same sum of weights.

    Args:
        labels: (H, W) class indices in 0..classes-1, or `UNKNOWN`.
        classes: K, background included.

    Returns:
        (H, W) float32 in (0, 1], 0 where the class is unknown.

    Raises:
        ValueError: labels is not a two-dimensional array of such integers.
    """
    known = labels != UNKNOWN
    _check(labels, known, classes)
    pixels = np.bincount(labels[known], minlength=classes)
    rarest = pixels[pixels > 0].min(initial=labels.size)
    weights = (rarest / np.maximum(pixels, 1)).astype(np.float32)
    result = np.zeros(labels.shape, dtype=np.float32)
    result[known] = weights[labels[known]]
    return result


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over the known pixels of w * CE.

    Weights of 1 give the plain cross-entropy. The mean is over the number of pixels, not over the
    sum of the weights, which torch divides by for class weights; a pixel so counts the same in any
    batch. Ronneberger and Livne sum over the pixels of an image: H * W times as much. Where no
    pixel is known, the loss is 0.

    Args:
        logits: (N, K, H, W).
        labels: (N, H, W) int64 class indices, `UNKNOWN` where a pixel does not count.
        weights: (N, H, W), or None where every pixel counts 1.

    Returns:
        A scalar.

    Raises:
        ValueError: the weights are not of the labels' shape.
    """
    known = (labels != UNKNOWN).sum().clamp(min=1)
    if weights is None:
        return cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="sum") / known
    if weights.shape != labels.shape:
        raise ValueError(
            f"The weights are {tuple(weights.shape)} and the labels {tuple(labels.shape)}: both "
            "must be (N, H, W)."
        )
    losses = cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
    return (weights * losses).sum() / known


def _check(labels: np.ndarray, known: np.ndarray, classes: int) -> None:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 2:
        raise ValueError("Expected a two-dimensional array (H, W) of class indices.")
    found = labels[known]
    if found.size and not 0 <= found.min() <= found.max() < classes:
        raise ValueError(
            f"The labels are {found.min()} to {found.max()}: expected 0 to {classes - 1}."
        )
