"""The numbers of a comparison: intervals over seeds and cases, differences, effects, power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.comparison.record import Estimate, ScoreName, SeedsNeeded
from nas.comparison.scores import primary
from nas.metrics.intervals import draws, percentile_interval, units_of
from nas.metrics.semantic import Counts, Values, mean_defined

MOST_SEEDS = 10_000
"""Up to which the number of seeds needed is looked for."""

NO_SPREAD = 1e-9
"""A standard deviation below this is rounding."""

LARGE_NONCENTRALITY = 30.0
NO_OTHER_TAIL = 5.0
"""Noncentrality from which a difference of the wrong sign is seen less than once in 10^8; scipy
has no numbers for it far beyond."""

POWER = 0.8
SIGNIFICANCE = 0.05


class Resamples(NamedTuple):
    """Resampled seeds and cases; of equal cases and seed, every row of a table has the same.

    Attributes:
        seeds: (R, S), how often each seed was drawn.
        units: (R, U), how often each unit of cases was drawn: a group, or a case without one.
        members: (N,), the unit of each case.
    """

    seeds: Values
    units: Values
    members: NDArray[np.int64]


def resample(seeds: int, groups: Sequence[str | None], resamples: int, seed: int) -> Resamples:
    """Draw seeds, then groups of cases, both with replacement.

    All seeds were tested on the same cases, so one draw of cases serves all seeds of a resample
    (crossed factors; Owen, Ann. Appl. Stat. 2007): were each seed given a draw of its own, the
    luck of the test cases would seem to average out over seeds, which it does not. A single seed is
    drawn always, and the interval is then one over cases alone.

    Args:
        seeds: S, 1 or more.
        groups: of each test case; None where it stands for itself.
        resamples: R.
        seed: of the draws.
    """
    members = units_of(groups)
    units = int(members.max(initial=-1)) + 1
    return Resamples(
        draws(seeds, resamples, np.random.default_rng([seed, 0])),
        draws(units, resamples, np.random.default_rng([seed, 1])),
        members,
    )


def resampled_scores(trainings: Counts, name: ScoreName, drawn: Resamples) -> Values:
    """The pooled score of one seed in each resample of the cases, (R,); NaN where undefined.

    Args:
        trainings: (D, N, K, K): the trainings of the seed, whose scores are averaged, on N cases.
        name: of the score.
        drawn: the resamples; of their seeds nothing is used.
    """
    found = np.empty((len(drawn.units), len(trainings)))
    for number, matrices in enumerate(trainings):
        sums = np.zeros((drawn.units.shape[1], *matrices.shape[1:]))
        np.add.at(sums, drawn.members, matrices)
        pooled = np.tensordot(drawn.units, sums, axes=1).astype(np.int64)
        found[:, number] = primary(pooled, name)
    return mean_defined(found)


def estimate(scores: ArrayLike, resampled: Values, drawn: Resamples, level: float) -> Estimate:
    """The mean over seeds, and its percentile interval over resampled seeds and cases.

    Args:
        scores: (S,), of each seed on all cases; or differences of two such.
        resampled: (R, S), see `resampled_scores`; or differences likewise.
        drawn: the resamples.
        level: of the interval.

    Returns:
        Without an interval where there are neither two seeds nor two units of cases.
    """
    value = float(np.mean(np.asarray(scores, np.float64)))
    if max(drawn.seeds.shape[1], drawn.units.shape[1]) < 2:
        return Estimate(value=value)
    weights = np.where(np.isnan(resampled), 0.0, drawn.seeds)
    above, below = (weights * np.nan_to_num(resampled)).sum(1), weights.sum(1)
    means = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    interval = percentile_interval(means, level)
    if interval is None:
        return Estimate(value=value)
    return Estimate(value=value, low=interval.low, high=interval.high)


def case_scores(seeds: Sequence[Counts], name: ScoreName) -> Values:
    """The score of each case taken by itself, (N,): mean over trainings, then over seeds.

    Args:
        seeds: of each, (D, N, K, K) as in `resampled_scores`.
        name: of the score.

    Returns:
        NaN where a case has no score, in any seed.
    """
    means = [mean_defined(primary(trainings, name), axis=0) for trainings in seeds]
    return mean_defined(np.stack(means), axis=0)


def by_unit(values: ArrayLike, groups: Sequence[str | None]) -> Values:
    """Means of cases (N,) over their groups, (U,), which are independent of each other.

    A case without a group stands for itself; NaN is left out.
    """
    array, members = np.asarray(values, np.float64), units_of(groups)
    return np.array([float(mean_defined(array[members == unit])) for unit in np.unique(members)])


def cohen_d(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Difference of two means over the pooled standard deviation (Cohen 1988, section 2.2).

    Returns:
        None with fewer than two values in either, or where neither varies.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if min(len(a), len(b)) < 2:
        return None
    squares = (len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)
    pooled = math.sqrt(squares / (len(a) + len(b) - 2))
    if pooled < NO_SPREAD:
        return None
    return float((a.mean() - b.mean()) / pooled)


def power_of_paired_test(seeds: int, effect: float, significance: float = SIGNIFICANCE) -> float:
    """Probability that a paired t-test, two-sided, sees a difference.

    The statistic follows the noncentral t distribution with n - 1 degrees of freedom and
    noncentrality effect * sqrt(n) (Cohen 1988, section 2.5). Beyond `LARGE_NONCENTRALITY`, where
    its density underflows, the noise of the mean is nothing beside the mean and is left out.

    Args:
        seeds: n, pairs, 2 or more.
        effect: the true mean difference over the standard deviation of differences.
        significance: of the test.
    """
    from scipy.stats import chi2, nct, t

    freedom = seeds - 1
    critical = float(t.ppf(1 - significance / 2, freedom))
    noncentrality = abs(effect) * math.sqrt(seeds)
    if noncentrality > LARGE_NONCENTRALITY:
        return float(chi2.cdf(freedom * (noncentrality / critical) ** 2, freedom))
    power = float(nct.sf(critical, freedom, noncentrality))
    if noncentrality < NO_OTHER_TAIL:
        power += float(nct.cdf(-critical, freedom, noncentrality))
    return power


def seeds_needed(differences: Sequence[float], wanted: float) -> SeedsNeeded:
    """How many seeds a paired t-test needs, with the spread that these differences have.

    Args:
        differences: of two methods with the same seed, one for each seed.
        wanted: the difference to see, in the same unit, > 0.

    Returns:
        The smallest number with `POWER` at `SIGNIFICANCE`; unknown with fewer than 3 differences,
        from which no spread can be told, or where they do not differ.
    """

    def answer(seeds: int | None, reason: str | None = None) -> SeedsNeeded:
        return SeedsNeeded(
            difference=wanted,
            power=POWER,
            level=SIGNIFICANCE,
            seeds=seeds,
            limit=MOST_SEEDS,
            reason=reason,
        )

    if len(differences) < 3:
        return answer(None, "fewer than 3 seeds do not tell how seeds differ")
    spread = float(np.std(differences, ddof=1))
    if spread < NO_SPREAD:
        return answer(None, "the seeds do not differ")
    effect = wanted / spread
    if power_of_paired_test(MOST_SEEDS, effect) < POWER:
        return answer(None, f"more than {MOST_SEEDS:,} seeds would be needed")
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if power_of_paired_test(middle, effect) >= POWER else (middle, high)
        )
    return answer(high)
