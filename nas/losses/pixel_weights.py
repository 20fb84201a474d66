"""Cross-entropy in which pixels count differently."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn.functional import cross_entropy

from nas.losses.border_weights import border_weights, objects
from nas.settings import LossSettings


def class_frequency_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weight of each pixel by how rare its class is in this image (Livne).

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


def pixel_weights(labels: np.ndarray, classes: int, settings: LossSettings) -> np.ndarray | None:
    """What each pixel counts in the cross-entropy: w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)).

    The first term is `class_frequency_weights`, or 1 where the settings have none; the second is
    `border_weights` of the mask's `objects`, or 0 (Ronneberger et al. 2015, Eq. 2; Livne).

    Args:
        labels: (H, W) class indices in 0..classes-1.
        classes: K, background included.
        settings: class_weights, border_weight (w0) and border_sigma.

    Returns:
        (H, W) float32, or None where both terms are off, so that every pixel counts 1.

    Raises:
        ValueError: labels is not a two-dimensional array of such integers.
    """
    if settings.class_weights == "none" and not settings.border_weight:
        return None
    _check(labels, classes)
    weights = np.ones(labels.shape, dtype=np.float32)
    if settings.class_weights == "frequency":
        weights = class_frequency_weights(labels, classes)
    if settings.border_weight:
        found = objects(labels)
        weights = weights + border_weights(found, settings.border_weight, settings.border_sigma)
    return weights


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
