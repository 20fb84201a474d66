"""Whether two methods differ on the same cases."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from nas.metrics.semantic import Values

EXACT_UP_TO = 50
"""Pairs that differ up to which the distribution is counted out; beyond, it is taken as normal."""


class SignedRankTest(Struct, frozen=True, kw_only=True):
    """Wilcoxon's test of the hypothesis that differences are symmetric around 0.

    Attributes:
        pairs: all that were given.
        zeros: pairs without a difference, which are left out.
        positive: sum of the ranks of the differences above 0, first minus second.
        negative: of those below 0.
        median_difference: of all pairs.
        effect_size: matched-pairs rank-biserial correlation, (positive - negative) / (positive +
            negative), in [-1, 1]; 0 where no pair differs (Kerby 2014).
        exact: whether p is from the exact distribution.
        p: probability, where the hypothesis holds, of a sum at least as far from its mean, on
            either side; 1 where no pair differs.
    """

    pairs: int
    zeros: int
    positive: float
    negative: float
    median_difference: float
    effect_size: float
    exact: bool
    p: float


def wilcoxon(first: Sequence[float], second: Sequence[float]) -> SignedRankTest:
    """Wilcoxon's signed-rank test (Biometrics Bulletin 1945), two-sided.

    Differences of 0 are left out; equal ones share the mean of their ranks. Up to `EXACT_UP_TO`
    differences, p is exact for the ranks found, shared ones too; beyond, from the normal
    distribution with the variance of these ranks, without a correction for continuity.

    Args:
        first: one value of each case.
        second: the other value of each case, in the same order.

    Raises:
        ValueError: the numbers of values differ, there are none, or one is not finite.
    """
    from scipy.stats import rankdata

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(
            f"as many first values as second ones were expected, 1 or more, not "
            f"{a.shape} and {b.shape}"
        )
    if not np.isfinite(a - b).all():
        raise ValueError("all values must be finite")
    differences = (a - b)[a != b]
    ranks = rankdata(np.abs(differences))
    positive, negative = (float(ranks[side].sum()) for side in (differences > 0, differences < 0))
    exact = len(ranks) <= EXACT_UP_TO
    return SignedRankTest(
        pairs=len(a),
        zeros=len(a) - len(ranks),
        positive=positive,
        negative=negative,
        median_difference=float(np.median(a - b)),
        effect_size=(positive - negative) / max(1.0, positive + negative),
        exact=exact,
        p=(_exact if exact else _normal)(ranks, min(positive, negative)),
    )


def _exact(ranks: Values, smaller: float) -> float:
    """Twice the share of the 2^n choices of signs with a sum of ranks up to ``smaller``.

    Ranks are halves at the least, so twice a rank is a whole number, and the choices for each sum
    are counted one rank after the other.
    """
    doubled = np.rint(2 * ranks).astype(np.int64)
    shares = np.zeros(int(doubled.sum()) + 1)
    shares[0] = 1.0
    for rank in doubled:
        shares[rank:] = (shares[rank:] + shares[: len(shares) - rank]) / 2
        shares[:rank] /= 2
    return min(1.0, 2 * float(shares[: round(2 * smaller) + 1].sum()))


def _normal(ranks: Values, smaller: float) -> float:
    deviation = math.sqrt(float((ranks**2).sum()) / 4)
    return math.erfc((ranks.sum() / 2 - smaller) / deviation / math.sqrt(2))
