"""Areas under the curves of a score per pixel: ROC and precision against recall.

Exact: every distinct score is a threshold, and pixels of equal score pass it together. Arrays are
taken as one set of pixels whatever their shape, so that several images are pooled; `per_image`
takes them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from nas.metrics.semantic import Values


class Area(Protocol):
    """An area under a curve, such as `roc_auc`."""

    def __call__(
        self, scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """The area, NaN where it is undefined."""


class _Counts(NamedTuple):
    """Weights of the pixels that pass each threshold, the highest threshold first."""

    hits: Values
    false_alarms: Values


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
    counts = _count(scores, truth, weights)
    return _rate(counts.false_alarms), _rate(counts.hits)


def roc_auc(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve.

    It is the probability that a pixel of the class has a higher score than one of the others, where
    equal scores count one half (Mann and Whitney's statistic; Hanley and McNeil 1982).

    Args and errors as `roc_curve`.

    Returns:
        In [0, 1]; NaN where the pixels that count are of one kind.
    """
    false_positive_rate, true_positive_rate = roc_curve(scores, truth, weights)
    if len(true_positive_rate) == 1:
        return math.nan
    heights = (true_positive_rate[1:] + true_positive_rate[:-1]) / 2
    return float(np.sum(np.diff(false_positive_rate) * heights))


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
    counts = _count(scores, truth, weights)
    if not counts.hits[-1]:
        return math.nan
    precision = counts.hits[1:] / (counts.hits + counts.false_alarms)[1:]
    return float(np.sum(np.diff(_rate(counts.hits)) * precision))


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


def _count(scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None) -> _Counts:
    values, true = np.asarray(scores, np.float64), np.asarray(truth)
    counting = np.ones(values.shape) if weights is None else np.asarray(weights, np.float64)
    if not values.shape == true.shape == counting.shape:
        raise ValueError(
            f"scores {values.shape}, truth {true.shape} and weights {counting.shape} differ in "
            "shape"
        )
    kept = counting != 0
    values, true, counting = values[kept], true[kept], counting[kept]
    _check(values, true, counting)
    order = np.argsort(-values, kind="stable")
    values, true, counting = values[order], true[order], counting[order]
    last_of_equals = np.append(np.flatnonzero(np.diff(values)), np.arange(len(values))[-1:])

    def passing(kind: np.ndarray) -> Values:
        return np.append(0.0, np.cumsum(counting * kind)[last_of_equals])

    return _Counts(passing(true == 1), passing(true == 0))


def _check(scores: Values, truth: np.ndarray, weights: Values) -> None:
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
