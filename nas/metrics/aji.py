"""Aggregated Jaccard index of objects (Kumar et al., IEEE Trans. Med. Imaging 2017, algorithm 1).

Each true object takes the predicted object with the largest IoU. The intersections of these pairs
are added up, and so are their unions; the area of every predicted object that no true object took
is added to the unions. One predicted object may be taken by several true ones.

Other variants give other numbers: AJI+ (Graham et al. 2019) and the one in cellpose pair the
objects one to one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nas.metrics.overlaps import Overlaps, intersection_over_union, largest_of_each
from nas.metrics.pooling import ratio
from nas.metrics.semantic import Counts, Values


def aji_sums(overlaps: Overlaps) -> Counts:
    """The sum of the intersections and the sum of the unions of an image, (2,), in pixels.

    A true object that overlaps nothing adds its own area to the unions. Of predicted objects with
    equal IoU the one with the lowest label is taken.
    """
    values = intersection_over_union(overlaps)
    best = largest_of_each(overlaps.true_index, values, len(overlaps.true.labels))
    taken = best[best >= 0]
    intersection = overlaps.pixels[taken].sum()
    free = np.delete(overlaps.predicted.areas, overlaps.predicted_index[taken])
    union = (
        overlaps.true.areas.sum()
        + overlaps.predicted_areas[taken].sum()
        - intersection
        + free.sum()
    )
    return np.array([intersection, union], dtype=np.int64)


def aji(sums: ArrayLike) -> Values:
    """Aggregated Jaccard index in [0, 1] from `aji_sums`, (..., 2) to (...).

    It is 0 if only one side has objects, and undefined, NaN, if neither has.
    """
    array = np.asarray(sums)
    return ratio(array[..., 0], array[..., 1])
