"""SEG, the segmentation measure of the Cell Tracking Challenge (Maska et al., Bioinformatics 2014).

A predicted object matches a true one if it covers more than half of the true object's pixels; no
other can then do so. SEG is the mean over the true objects of the IoU with the match, 0 without
one. Predicted objects without a match cost nothing. The background is no object.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nas.metrics.overlaps import Overlaps, intersection_over_union
from nas.metrics.pooling import ratio
from nas.metrics.semantic import Values


def seg_sums(overlaps: Overlaps) -> Values:
    """The sum of the IoU of the matches and the number of true objects of an image, (2,)."""
    covers = 2 * overlaps.pixels > overlaps.true_areas
    matched = intersection_over_union(overlaps)[covers]
    return np.array([matched.sum(), len(overlaps.true.labels)], dtype=np.float64)


def seg(sums: ArrayLike) -> Values:
    """SEG in [0, 1] from `seg_sums`, (..., 2) to (...); NaN without true objects.

    The challenge pools a sequence: the sums of its images are added first.
    """
    array = np.asarray(sums)
    return ratio(array[..., 0], array[..., 1])
