"""Two ways from the tallies of single images to one number for a set.

A tally is a short vector of counts or sums that can be added over images, such as (TP, FP, FN). A
measure is a function of tallies, one (m,) or any stack of them (..., m), such as F1. The two ways
give different numbers, as do publications; both are offered by name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from nas.metrics.semantic import Values, mean_defined

TallyMeasure = Callable[[ArrayLike], Values]


def pooled(measure: TallyMeasure, tallies: ArrayLike) -> float:
    """The measure of the sum of the images' tallies (N, m), so images with more objects count more.

    NaN where the measure is undefined, which it is for no image.
    """
    return float(measure(np.asarray(tallies).sum(0)))


def mean_per_image(measure: TallyMeasure, tallies: ArrayLike) -> float:
    """Mean of the images' own measures, from tallies (N, m).

    Images in which the measure is undefined are left out; NaN if there are no others.
    """
    return float(mean_defined(measure(tallies)))


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Values:
    """The quotient, NaN where the denominator is zero."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
