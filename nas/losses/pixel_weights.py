"""Cross-entropy in which pixels count differently."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy


def class_frequency_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weight of each pixel by how rare its class is in this image (Livne).

    The weight of a pixel is w_c, plus `border_weights` where these are wanted (Ronneberger et al.
    2015, Eq. 2).

    w_c = (1 / pixels of class c) / max over the classes present, so that the rarest class present
    has the weight 1, and all classes present have the same sum of weights.

    Args:
        labels: (H, W) class indices in 0..classes-1.
        classes: K, background included.

    Returns:
        (H, W) float32 in (0, 1].

    Raises:
        ValueError: labels is not a two-dimensional array of such integers.
    """
    _check(labels, classes)
    pixels = np.bincount(labels.ravel(), minlength=classes)
    rarest = pixels[pixels > 0].min(initial=labels.size)
    weights: np.ndarray = (rarest / np.maximum(pixels, 1)).astype(np.float32)
    return weights[labels]


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over pixels of w * CE.

    Weights of 1 give the plain cross-entropy. The mean is over the number of pixels, not over the
    sum of the weights, which torch divides by for class weights; a pixel so counts the same in any
    batch. Ronneberger and Livne sum over the pixels of an image: H * W times as much.

    Args:
        logits: (N, K, H, W).
        labels: (N, H, W) int64 class indices.
        weights: (N, H, W), or None where every pixel counts 1.

    Returns:
        A scalar.

    Raises:
        ValueError: the weights are not of the labels' shape.
    """
    if weights is None:
        return cross_entropy(logits, labels)
    if weights.shape != labels.shape:
        raise ValueError(
            f"The weights are {tuple(weights.shape)} and the labels {tuple(labels.shape)}: both "
            "must be (N, H, W)."
        )
    return (weights * cross_entropy(logits, labels, reduction="none")).mean()


def _check(labels: np.ndarray, classes: int) -> None:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 2:
        raise ValueError("Expected a two-dimensional array (H, W) of class indices.")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"The labels are {labels.min()} to {labels.max()}: expected 0 to {classes - 1}."
        )
