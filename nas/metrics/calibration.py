"""Whether a segmenter is right as often as its probabilities say.

Expected calibration error (Guo et al., ICML 2017, equation 3): pixels are put into bins of equal
width by the probability of the class that is predicted, their confidence; the error is the mean
over pixels of the distance between the share of right ones in a bin and the bin's mean confidence.

All pixels count alike. Where the background is large and easy, it makes the error small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nas.metrics.semantic import Values

BINS = 15


def calibration_tallies(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> Values:
    """What some pixels add to each bin; tallies of several images are added up.

    The bins are ((b - 1) / bins, b / bins], b = 1, ..., bins; 0 is in the first.

    Args:
        confidence: probability of the predicted class, in [0, 1], any shape.
        correct: whether that class is the true one, of the same shape.
        bins: 1 or more.

    Returns:
        (3, bins): number of pixels, sum of their confidences, number of right ones.

    Raises:
        ValueError: shapes differ, or a confidence is not in [0, 1].
    """
    values, right = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    if values.shape != right.shape:
        raise ValueError(f"confidence {values.shape} and correct {right.shape} differ in shape")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("confidences must be in [0, 1]")
    values, right = values.ravel(), right.ravel()
    place = np.searchsorted(np.arange(1, bins) / bins, values)
    return np.stack(
        [np.bincount(place, weights, bins) for weights in (np.ones(len(values)), values, right)]
    )


def expected_calibration_error(tallies: ArrayLike) -> Values:
    """The error in [0, 1] of `calibration_tallies`, (..., 3, bins) to (...); NaN without pixels."""
    counts, confidences, right = np.moveaxis(np.asarray(tallies, np.float64), -2, 0)
    gaps = np.abs(right - confidences).sum(-1)
    pixels = counts.sum(-1)
    return np.divide(gaps, pixels, out=np.full(pixels.shape, np.nan), where=pixels > 0)
