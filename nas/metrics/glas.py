"""Measures of the gland segmentation challenge GlaS (Sirinukunwattana et al., MedIA 2017).

The partner of an object is the object on the other side with which it shares most pixels; of
equals, the one with the lowest label. In all three measures the background is nobody's partner.

- F1: a predicted object is a true positive if it covers more than half of its partner, else a
  false positive; a true object without a true positive is a false negative. The challenge's text
  says 50 % or more, its code, which made the published numbers, more than 50 %. The code's form is
  used here; with it at most one predicted object can detect a true one.
- Object Dice and object Hausdorff: the mean of two halves, one over the predicted objects and one
  over the true ones, each the mean of Dice or Hausdorff distance to the partner, weighted by the
  object's area. Without a partner, Dice is 0; for Hausdorff the object with the least Hausdorff
  distance takes the place, and where there is none, the distance is the diagonal of the image (the
  challenge's code has infinity).

A half without objects is left out, so an image with objects on one side only has object Dice 0 and
the diagonal as object Hausdorff. With objects on neither side both are undefined, NaN, as is F1.
(There the challenge's code gives 0 as object Hausdorff and 1 as the other two.)

The challenge's text takes shares of the area of all objects of the set: `pooling.pooled`. Its code
scores one image, as do the numbers of most later work: `pooling.mean_per_image`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from nas.metrics.object_distances import Shapes, distance_to_nearest, hausdorff
from nas.metrics.overlaps import Overlaps, largest_of_each
from nas.metrics.pooling import ratio
from nas.metrics.semantic import Counts, Values, mean_defined
from nas.metrics.surface import diagonal


def detections(overlaps: Overlaps) -> Counts:
    """TP, FP and FN of an image, (3,)."""
    partners = _partners_of_predicted(overlaps)
    partners = partners[partners >= 0]
    hits = (2 * overlaps.pixels[partners] > overlaps.true_areas[partners]).sum()
    false_alarms = len(overlaps.predicted.labels) - hits
    misses = len(overlaps.true.labels) - hits
    return np.array([hits, false_alarms, misses], dtype=np.int64)


def object_f1(counts: ArrayLike) -> Values:
    """F1 of the detection in [0, 1] from `detections`, (..., 3) to (...): 2 TP / (2 TP + FP + FN).

    It is 0 without a true positive and NaN where neither side has objects.
    """
    array = np.asarray(counts)
    return ratio(2 * array[..., 0], 2 * array[..., 0] + array[..., 1] + array[..., 2])


def dice_sums(overlaps: Overlaps) -> Values:
    """Sums for `object_mean` of Dice with the partner, in [0, 1]."""
    areas = overlaps.predicted_areas + overlaps.true_areas
    values = np.append(2 * overlaps.pixels / areas, 0.0)
    return _weighted_sums(
        overlaps,
        values[_partners_of_predicted(overlaps)],
        values[_partners_of_true(overlaps)],
    )


def hausdorff_sums(overlaps: Overlaps) -> Values:
    """Sums for `object_mean` of the Hausdorff distance to the partner, in pixels."""
    predicted, true = Shapes(overlaps.predicted), Shapes(overlaps.true)
    farthest = diagonal(overlaps.true.image.shape)

    @cache
    def of_pair(pair: int) -> float:
        return hausdorff(predicted, overlaps.predicted_index[pair], true, overlaps.true_index[pair])

    def distances(shapes: Shapes, others: Shapes, partners: Counts) -> Values:
        if not others.boxes:
            return np.full(len(partners), farthest)
        return np.array(
            [
                of_pair(pair) if pair >= 0 else distance_to_nearest(shapes, index, others)
                for index, pair in enumerate(partners)
            ]
        )

    return _weighted_sums(
        overlaps,
        distances(predicted, true, _partners_of_predicted(overlaps)),
        distances(true, predicted, _partners_of_true(overlaps)),
    )


def object_mean(sums: ArrayLike) -> Values:
    """Object Dice or object Hausdorff from `dice_sums` or `hausdorff_sums`, (..., 4) to (...)."""
    array = np.asarray(sums)
    return mean_defined(ratio(array[..., ::2], array[..., 1::2]))


def _weighted_sums(overlaps: Overlaps, predicted: Values, true: Values) -> Values:
    """For the predicted, then for the true objects: sum of area times value, sum of area, (4,)."""
    return np.array(
        [
            overlaps.predicted.areas @ predicted,
            overlaps.predicted.areas.sum(),
            overlaps.true.areas @ true,
            overlaps.true.areas.sum(),
        ],
        dtype=np.float64,
    )


def _partners_of_predicted(overlaps: Overlaps) -> Counts:
    """The pair of each predicted object with its partner, -1 without one."""
    return largest_of_each(
        overlaps.predicted_index, overlaps.pixels, len(overlaps.predicted.labels)
    )


def _partners_of_true(overlaps: Overlaps) -> Counts:
    return largest_of_each(overlaps.true_index, overlaps.pixels, len(overlaps.true.labels))
