"""Confidence intervals by the bootstrap over cases, or over the groups that cases come from.

A resample draws as many groups as there are, with replacement, and takes all cases of each:
patients are drawn, not slices, since the slices of a patient are no independent observations
(Davison and Hinkley 1997, section 3.8). A case without a group stands for itself.

The ends are percentiles of the statistic over the resamples (Efron and Tibshirani 1993, section
13.3). They never leave the range of the statistic and exist where a score is the same in all cases,
at the bounds 0 and 1 too, where the bias-corrected and accelerated ones do not. With few groups,
fewer than about 20, they are somewhat too narrow, as those of any bootstrap are.

Statistics are functions of sums over cases, such as a pooled IoU of a sum of confusion matrices, or
a mean of a sum and a count; so a resample costs no more than a sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.metrics.semantic import Values

RESAMPLES = 2000
LEVEL = 0.95

Statistic = Callable[[Values], Values]


class Interval(NamedTuple):
    """Both ends of a confidence interval."""

    low: float
    high: float


def units_of(groups: Sequence[str | None]) -> NDArray[np.int64]:
    """What is drawn as one, (N,): cases of one group have one number, 0, 1, ..., others their own.

    Args:
        groups: of each case; None where it stands for itself.
    """
    numbers: dict[tuple[str | None, int], int] = {}
    keys = [(group, -1 if group is not None else place) for place, group in enumerate(groups)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def bootstrap(
    statistic: Statistic,
    tallies: ArrayLike,
    units: ArrayLike,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> tuple[Interval | None, ...]:
    """Percentile intervals of Q statistics of the sum of tallies, all from the same resamples.

    Args:
        statistic: sums of tallies (..., M) to (..., Q), NaN where undefined.
        tallies: (N, M), what each case adds.
        units: (N,) what is drawn as one, see `units_of`.
        seed: of the resamples.
        resamples: how many.
        level: share of intervals that hold the true value, where cases are many, in (0, 1).

    Returns:
        Q intervals. None for a statistic that is defined in fewer than two of the units taken by
        themselves: it says nothing of how cases differ. Resamples in which a statistic is undefined
        are left out of its interval.

    Raises:
        ValueError: tallies and units do not belong together, or the level is not in (0, 1).
    """
    values, owners = np.asarray(tallies, np.float64), np.asarray(units, np.int64)
    if values.ndim != 2 or owners.shape != values.shape[:1]:
        raise ValueError(f"tallies {values.shape} and units {owners.shape} do not belong together")
    _check_level(level)
    sums = _sums_by_unit(values, owners)
    support = (~np.isnan(statistic(sums))).sum(0)
    drawn = statistic(draws(len(sums), resamples, np.random.default_rng(seed)) @ sums)
    return tuple(
        percentile_interval(column, level) if defined > 1 else None
        for column, defined in zip(drawn.T, support, strict=True)
    )


def bootstrap_mean(
    values: ArrayLike,
    groups: Sequence[str | None],
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval | None:
    """Percentile interval of the mean over cases of values (N,); NaN, undefined ones, are left out.

    Args and errors as `bootstrap`; groups as in `units_of`.

    Returns:
        None where fewer than two units have a value.
    """
    (interval,) = bootstrap(
        mean_of_tallies, mean_tallies(values), units_of(groups), seed, resamples, level
    )
    return interval


def mean_tallies(values: ArrayLike) -> Values:
    """(N, ...) to (N, 2 M): the M values of each case, 0 for NaN, and whether each is defined."""
    array = np.asarray(values, np.float64)
    array = array.reshape(len(array), math.prod(array.shape[1:]))
    defined = ~np.isnan(array)
    return np.concatenate([np.where(defined, array, 0.0), defined], axis=1)


def mean_of_tallies(sums: Values) -> Values:
    """Sums of `mean_tallies`, (..., 2 M), to the M means over cases, NaN where none is defined."""
    totals, counts = np.split(sums, 2, axis=-1)
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)


def bootstrap_over_seeds_and_cases(
    values: ArrayLike,
    groups: Sequence[str | None],
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval | None:
    """Percentile interval of the mean over seeds and cases, both of which could have been others.

    Each resample draws seeds and, independently, units of cases; a value counts as often as its
    seed times its unit was drawn (the pigeonhole bootstrap for crossed factors, Owen, Ann. Appl.
    Stat. 2007). It is meant for scores of several trainings of one method on the same cases, or for
    the differences of two methods, seed by seed and case by case. What is left of noise counts
    thrice in its variance, so it errs on the wide side.

    Args:
        values: (S, N), a row for each training, a column for each case; NaN is left out.
        groups: of the N cases, see `units_of`.
        seed: of the resamples.
        resamples: how many.
        level: in (0, 1).

    Returns:
        None where there are fewer than two seeds or fewer than two units of cases with a value.

    Raises:
        ValueError: the shape is another, or the level is not in (0, 1).
    """
    array, units = np.asarray(values, np.float64), units_of(groups)
    if array.ndim != 2 or array.shape[1:] != units.shape:
        raise ValueError(f"values {array.shape} are not (seeds, {len(units)} cases)")
    _check_level(level)
    defined = ~np.isnan(array)
    totals = _sums_by_unit(np.where(defined, array, 0.0).T, units)
    counts = _sums_by_unit(defined.T.astype(np.float64), units)
    if min((counts > 0).any(0).sum(), (counts > 0).any(1).sum()) < 2:
        return None
    generator = np.random.default_rng(seed)
    of_seeds = draws(array.shape[0], resamples, generator)
    of_units = draws(len(totals), resamples, generator)
    above = (of_units @ totals * of_seeds).sum(1)
    below = (of_units @ counts * of_seeds).sum(1)
    means = np.divide(above, below, out=np.full(resamples, np.nan), where=below > 0)
    return percentile_interval(means, level)


def draws(units: int, resamples: int, generator: np.random.Generator) -> Values:
    """How often each unit is drawn in each resample, (resamples, units); each row sums to units."""
    chosen = generator.integers(0, units, (resamples, units)) if units else np.empty((resamples, 0))
    places = chosen.astype(np.int64) + units * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * units)
    return counts.reshape(resamples, units).astype(np.float64)


def percentile_interval(values: Values, level: float) -> Interval | None:
    """The interval that leaves out (1 - level) / 2 of the values that are not NaN on each side."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _sums_by_unit(values: Values, units: NDArray[np.int64]) -> Values:
    sums = np.zeros((int(units.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, units, values)
    return sums


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, not {level}")
