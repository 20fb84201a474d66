"""Scores of a semantic segmentation, all computed from confusion matrices.

A confusion matrix counts pixels: row = class in the truth, column = class in the prediction.
Functions take one matrix (K, K) or any stack of them (..., K, K), so pooled scores come from the
sum of the images' matrices and scores per image from their stack.

A score whose denominator is zero is undefined and NaN: IoU and Dice of a class that is in neither
the truth nor the prediction, precision of a class that is not predicted, recall of a class that is
not in the truth. Means leave undefined scores out; the mean of nothing is NaN. A class that is
predicted but not in the truth, or the reverse, has an IoU and a Dice of 0, which count.

Pixels whose class in the truth is `UNKNOWN` are in no matrix: whatever is predicted there is
neither right nor wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from nas.data.cases import UNKNOWN

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


def confusion_matrix(prediction: ArrayLike, truth: ArrayLike, classes: int) -> Counts:
    """Count the pixels of every pair (class in the truth, class in the prediction).

    Args:
        prediction: integers in 0..classes-1, any shape; an array or a tensor on the CPU.
        truth: the same, or `UNKNOWN` at pixels that are not counted.
        classes: number K of classes, at most `UNKNOWN`.

    Returns:
        (K, K), rows for the truth, columns for the prediction.

    Raises:
        ValueError: shapes differ, a value is no class, or there are too many classes.
    """
    if classes > UNKNOWN:
        raise ValueError(f"{classes} classes are more than {UNKNOWN}, the label of unknown pixels")
    predicted, true = _labels(prediction, classes), np.asarray(truth)
    if predicted.shape != true.shape:
        raise ValueError(
            f"prediction and truth differ in shape: {predicted.shape} and {true.shape}"
        )
    known = true != UNKNOWN
    pairs = classes * _labels(true[known], classes) + predicted[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def confusion_matrices(predictions: ArrayLike, truths: ArrayLike, classes: int) -> Counts:
    """One confusion matrix per image of a batch, as `confusion_matrix` counts them.

    Args:
        predictions: (N, H, W) integers in 0..classes-1.
        truths: the same, or `UNKNOWN` at pixels that are not counted.
        classes: number K of classes, at most `UNKNOWN`.

    Returns:
        (N, K, K), rows for the truth, columns for the prediction.

    Raises:
        ValueError: shapes differ, a value is no class, or there are too many classes.
    """
    predicted, true = np.asarray(predictions), np.asarray(truths)
    if len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predictions do not belong to {len(true)} truths")
    pairs = zip(predicted, true, strict=True)
    matrices = [confusion_matrix(one, other, classes) for one, other in pairs]
    return np.array(matrices, dtype=np.int64).reshape(-1, classes, classes)


def iou(confusion: Counts) -> Values:
    """Intersection over union of each class, (..., K, K) to (..., K): TP / (TP + FP + FN)."""
    hits = _hits(confusion)
    return _ratio(hits, _in_truth(confusion) + _in_prediction(confusion) - hits)


def dice(confusion: Counts) -> Values:
    """Dice of each class, (..., K, K) to (..., K): 2 TP / (2 TP + FP + FN).

    It is also the F1 score of the pixels, the harmonic mean of precision and recall.
    """
    return _ratio(2 * _hits(confusion), _in_truth(confusion) + _in_prediction(confusion))


def precision(confusion: Counts) -> Values:
    """Share of the pixels predicted as a class that are of it, (..., K, K) to (..., K)."""
    return _ratio(_hits(confusion), _in_prediction(confusion))


def recall(confusion: Counts) -> Values:
    """Share of the pixels of a class that are predicted as it, (..., K, K) to (..., K)."""
    return _ratio(_hits(confusion), _in_truth(confusion))


def pixel_accuracy(confusion: Counts) -> Values:
    """Share of the pixels with the right class, (..., K, K) to (...)."""
    return _ratio(_hits(confusion).sum(-1), confusion.sum((-2, -1)))


def mean_defined(values: ArrayLike, axis: int = -1) -> Values:
    """Mean over an axis that leaves NaN out; NaN where there is nothing else."""
    array = np.asarray(values, dtype=np.float64)
    defined = ~np.isnan(array)
    return _ratio(np.where(defined, array, 0.0).sum(axis), defined.sum(axis))


class Measure(Struct, frozen=True, kw_only=True):
    """One score in [0, 1], or None where it is undefined.

    ``per_class`` has one entry per class, background first; ``mean`` is over all classes,
    ``mean_foreground`` over all but the background.
    """

    per_class: tuple[float | None, ...]
    mean: float | None
    mean_foreground: float | None


class Summary(Struct, frozen=True, kw_only=True):
    """All scores, computed in one way. Dice is also known as F1."""

    iou: Measure
    dice: Measure
    precision: Measure
    recall: Measure
    pixel_accuracy: float | None


class Scores(Struct, frozen=True, kw_only=True):
    """The scores of a set of images.

    ``pooled`` comes from all pixels together, so large objects count more. ``per_image`` is the
    mean over images: per class, over the images in which the class's score is defined; for a mean
    over classes, over the images' own means. The two ways differ, as do published numbers.
    """

    classes: tuple[str, ...]
    images: int
    pooled: Summary
    per_image: Summary


def score(confusions: Counts, classes: Sequence[str]) -> Scores:
    """Scores of a set of images.

    Args:
        confusions: (N, K, K), one confusion matrix per image.
        classes: the K names, background first.

    Raises:
        ValueError: shape and number of names do not agree.
    """
    if confusions.ndim != 3 or confusions.shape[1:] != (len(classes), len(classes)):
        raise ValueError(
            f"expected (N, {len(classes)}, {len(classes)}) for {len(classes)} classes, "
            f"got {confusions.shape}"
        )
    return Scores(
        classes=tuple(classes),
        images=len(confusions),
        pooled=_summary(confusions.sum(0, keepdims=True)),
        per_image=_summary(confusions),
    )


def _summary(confusions: Counts) -> Summary:
    return Summary(
        iou=_measure(iou(confusions)),
        dice=_measure(dice(confusions)),
        precision=_measure(precision(confusions)),
        recall=_measure(recall(confusions)),
        pixel_accuracy=_optional(mean_defined(pixel_accuracy(confusions))),
    )


def _measure(values: Values) -> Measure:
    """(N, K): means over the N matrices."""
    return Measure(
        per_class=tuple(_optional(value) for value in mean_defined(values, axis=0)),
        mean=_optional(mean_defined(mean_defined(values))),
        mean_foreground=_optional(mean_defined(mean_defined(values[:, 1:]))),
    )


def _optional(value: float | Values) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _labels(values: ArrayLike, classes: int) -> Counts:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels must be integers, not {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() < classes):
        raise ValueError(
            f"labels must be in 0..{classes - 1}, found {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)


def _hits(confusion: Counts) -> Counts:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _in_truth(confusion: Counts) -> Counts:
    return confusion.sum(-1)


def _in_prediction(confusion: Counts) -> Counts:
    return confusion.sum(-2)


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> Values:
    """The quotient, NaN where the denominator is zero."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
