"""Areas under the curves of a score per pixel: ROC and precision against recall.

Exact: every distinct score is a threshold, and pixels of equal score pass it together. Arrays are
taken as one set of pixels whatever their shape, so that several images are pooled; `per_image`
takes them one by one.

Where all pixels of a set are too many to hold, `thresholds` reduces an image to its distinct
scores, `merged` puts images together, and `areas_of` gives what the pixels themselves would give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.metrics.semantic import Values


class Area(Protocol):
    """An area under a curve, such as `roc_auc`."""

    def __call__(
        self, scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """The area, NaN where it is undefined."""


class Thresholds(NamedTuple):
    """The distinct scores of some pixels and how much weight has each, (T,), the highest first."""

    scores: NDArray[np.floating]
    hits: Values
    """Weight of the pixels of the class with this score."""
    false_alarms: Values
    """Weight of the other pixels with this score."""


class CurveAreas(NamedTuple):
    """Both areas of the same pixels, NaN where undefined."""

    roc_auc: float
    average_precision: float


def roc_curve(
    scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Values, Values]:
    """The receiver operating characteristic.

    Args:
        scores: of any shape, such as the probability of a class.
        truth: of the same shape, 1 or True where the class is.
        weights: of the same shape, what each pixel counts, >= 0; a field of view is a mask of
            booleans. By default every pixel counts 1. Where it is 0, score and truth may be
            anything.

    Returns:
        False positive rate and true positive rate, both (T + 1,), for no pixel and for the T
        distinct scores from the highest on; NaN where no pixel of a kind counts.

    Raises:
        ValueError: shapes differ, a score is not finite, the truth has other values than 0 and 1,
            or a weight is negative or not finite.
    """
    return roc_curve_of(thresholds(scores, truth, weights))


def roc_auc(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve.

    It is the probability that a pixel of the class has a higher score than one of the others, where
    equal scores count one half (Mann and Whitney's statistic; Hanley and McNeil 1982).

    Args and errors as `roc_curve`.

    Returns:
        In [0, 1]; NaN where the pixels that count are of one kind.
    """
    return areas_of(thresholds(scores, truth, weights)).roc_auc


def average_precision(
    scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Mean of the precisions at the thresholds, weighted by the recall that each adds.

    The curve of precision against recall is taken as steps, not as straight lines, which would be
    too optimistic (Davis and Goadrich 2006).

    Args and errors as `roc_curve`.

    Returns:
        In [0, 1]; NaN where no pixel of the class counts.
    """
    return areas_of(thresholds(scores, truth, weights)).average_precision


def per_image(
    area: Area,
    scores: Iterable[ArrayLike],
    truths: Iterable[ArrayLike],
    weights: Iterable[ArrayLike] | None = None,
) -> Values:
    """An area of each image, (N,), NaN where it is undefined.

    `nas.metrics.semantic.mean_defined` is their mean.

    Args:
        area: `roc_auc` or `average_precision`.
        scores: one array for each image.
        truths: the same.
        weights: the same, see `roc_curve`; by default every pixel counts 1.

    Raises:
        ValueError: the numbers of images differ, or as `roc_curve`.
    """
    if weights is None:
        pairs = zip(scores, truths, strict=True)
        return np.array([area(one, other) for one, other in pairs])
    triples = zip(scores, truths, weights, strict=True)
    return np.array([area(one, other, weight) for one, other, weight in triples])


def thresholds(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> Thresholds:
    """The distinct scores of an image; they keep their type, such as float32.

    Args and errors as `roc_curve`.
    """
    values, true = np.asarray(scores), np.asarray(truth)
    counting = np.ones(values.shape) if weights is None else np.asarray(weights, np.float64)
    if not values.shape == true.shape == counting.shape:
        raise ValueError(
            f"scores {values.shape}, truth {true.shape} and weights {counting.shape} differ in "
            "shape"
        )
    kept = counting != 0
    values, true, counting = values[kept], true[kept], counting[kept]
    _check(values, true, counting)
    return _distinct(values, counting * (true == 1), counting * (true == 0))


def merged(images: Sequence[Thresholds]) -> Thresholds:
    """The thresholds of the pixels of several images together, one or more."""
    return _distinct(*(np.concatenate(parts) for parts in zip(*images, strict=True)))


def roc_curve_of(found: Thresholds) -> tuple[Values, Values]:
    """`roc_curve` of the pixels that the thresholds stand for."""
    return _rate(_passing(found.false_alarms)), _rate(_passing(found.hits))


def areas_of(found: Thresholds) -> CurveAreas:
    """`roc_auc` and `average_precision` of the pixels that the thresholds stand for."""
    hits, false_alarms = _passing(found.hits), _passing(found.false_alarms)
    if not hits[-1]:
        return CurveAreas(math.nan, math.nan)
    true_positive_rate = _rate(hits)
    precision = hits[1:] / (hits + false_alarms)[1:]
    heights = (true_positive_rate[1:] + true_positive_rate[:-1]) / 2
    return CurveAreas(
        roc_auc=float(np.sum(np.diff(_rate(false_alarms)) * heights)),
        average_precision=float(np.sum(np.diff(true_positive_rate) * precision)),
    )


def _distinct(scores: NDArray[np.floating], hits: Values, false_alarms: Values) -> Thresholds:
    values, place = np.unique(scores, return_inverse=True)
    summed = np.zeros((2, len(values)))
    for row, weights in zip(summed, (hits, false_alarms), strict=True):
        row[:] = np.bincount(place, weights, len(values))
    return Thresholds(values[::-1], *summed[:, ::-1])


def _passing(weights: Values) -> Values:
    """Weight of what passes no threshold, the highest, the two highest, and so on, (T + 1,)."""
    return np.append(0.0, np.cumsum(weights))


def _check(scores: np.ndarray, truth: np.ndarray, weights: Values) -> None:
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("the truth must be 0 or 1 at every pixel")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights must be finite and 0 or more")


def _rate(counts: Values) -> Values:
    """Shares of the last count; NaN where that is 0."""
    if not counts[-1]:
        return np.full(counts.shape, np.nan)
    return counts / counts[-1]
