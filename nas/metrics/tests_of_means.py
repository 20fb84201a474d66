"""Whether the means of two samples differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct


class MeanTest(Struct, frozen=True, kw_only=True):
    """A test of the hypothesis that two means are equal.

    Attributes:
        means: of the first sample and of the second.
        statistic: positive where the first mean is larger.
        degrees_of_freedom: of Student's distribution.
        p: probability of a statistic at least as far from 0, on either side, where the means are
            equal.
    """

    means: tuple[float, float]
    statistic: float
    degrees_of_freedom: float
    p: float


def welch(first: Sequence[float], second: Sequence[float]) -> MeanTest:
    """Welch's t-test: two independent samples of normal values, whose variances may differ.

    Runs that share a seed or a split are no independent samples.

    Args:
        first: two or more values.
        second: two or more values.

    Raises:
        ValueError: a sample has fewer than two values or one that is not finite, or both samples
            have no variance.
    """
    from scipy.stats import ttest_ind

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    for values in (a, b):
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ValueError(f"two or more finite values were expected, not {values.tolist()}")
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        raise ValueError("neither sample has any variance, so their means cannot be tested")
    found = ttest_ind(a, b, equal_var=False)
    return MeanTest(
        means=(float(a.mean()), float(b.mean())),
        statistic=float(found.statistic),
        degrees_of_freedom=float(found.df),
        p=float(found.pvalue),
    )
