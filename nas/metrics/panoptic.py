"""Panoptic quality of one class of objects (Kirillov et al., CVPR 2019, equation 1).

A predicted and a true object match if their IoU is more than 0.5; then each has at most one match.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nas.metrics.overlaps import Overlaps, intersection_over_union
from nas.metrics.pooling import ratio
from nas.metrics.semantic import Values


def panoptic_sums(overlaps: Overlaps) -> Values:
    """TP, FP, FN and the sum of the IoU of the matches of an image, (4,)."""
    values = intersection_over_union(overlaps)
    matched = values[values > 0.5]
    hits = len(matched)
    false_alarms = len(overlaps.predicted.labels) - hits
    misses = len(overlaps.true.labels) - hits
    return np.array([hits, false_alarms, misses, matched.sum()], dtype=np.float64)


def panoptic_quality(sums: ArrayLike) -> Values:
    """PQ in [0, 1] from `panoptic_sums`, (..., 4) to (...): sum of IoU / (TP + FP/2 + FN/2).

    It is SQ times DQ where there is a match, 0 where there is none, and undefined, NaN, where
    neither side has objects.
    """
    array = np.asarray(sums)
    return ratio(array[..., 3], _objects(array))


def segmentation_quality(sums: ArrayLike) -> Values:
    """SQ in (0.5, 1]: mean IoU of the matches, (..., 4) to (...); NaN without a match.

    Some libraries give 0 there.
    """
    array = np.asarray(sums)
    return ratio(array[..., 3], array[..., 0])


def detection_quality(sums: ArrayLike) -> Values:
    """DQ in [0, 1]: F1 of the matches, (..., 4) to (...); NaN where neither side has objects.

    Kirillov et al. call it recognition quality.
    """
    array = np.asarray(sums)
    return ratio(array[..., 0], _objects(array))


def _objects(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] + (sums[..., 1] + sums[..., 2]) / 2
