"""Bootstrap intervals against scipy's, closed forms, and resamples written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from nas.metrics.intervals import (
    Interval,
    bootstrap,
    bootstrap_mean,
    bootstrap_over_seeds_and_cases,
    draws,
    percentile_interval,
    units_of,
)
from nas.metrics.semantic import iou

RNG = np.random.default_rng(7)
ALONE = [None] * 40


def width(interval: Interval | None) -> float:
    assert interval is not None
    return interval.high - interval.low


def test_units_are_groups_and_cases_without_one() -> None:
    assert units_of(["b", None, "a", "b", None]).tolist() == [0, 1, 2, 0, 3]
    assert units_of([]).shape == (0,)


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = RNG.gamma(2.0, size=40)
    found = bootstrap_mean(values, ALONE, seed=1, resamples=50_000)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found == pytest.approx(tuple(expected), abs=0.01)


def test_the_interval_of_normal_values_has_its_closed_form() -> None:
    """Mean -+ z s / sqrt(n), s with n, which is the variance that resamples have."""
    values = RNG.normal(3.0, 2.0, 400)
    for level in (0.5, 0.95):
        found = bootstrap_mean(values, [None] * 400, seed=0, resamples=20_000, level=level)
        half = stats.norm.ppf((1 + level) / 2) * values.std() / 20
        assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_nineteen_of_twenty_intervals_hold_the_mean() -> None:
    """Of 400 samples of 40; the share has a standard deviation of about 1 %."""
    held = 0
    for seed in range(400):
        values = np.random.default_rng([seed, 5]).normal(size=40)
        found = bootstrap_mean(values, ALONE, seed, resamples=400)
        assert found is not None
        held += found.low <= 0 <= found.high
    assert 0.90 <= held / 400 <= 0.97


def test_all_resamples_of_three_cases() -> None:
    """There are 27 of them, equally likely: the median of the means is that of their list."""
    values = [0.0, 1.0, 5.0]
    means = [np.mean(each) for each in itertools.product(values, repeat=3)]
    found = bootstrap_mean(values, [None] * 3, seed=3, resamples=40_000, level=0.6)
    low, high = np.quantile(means, [0.2, 0.8], method="inverted_cdf")
    assert found == pytest.approx((low, high))


def test_slices_are_not_drawn_but_their_patients() -> None:
    """Ten equal slices of each patient say no more than one slice, and far more if drawn alone."""
    patients = RNG.normal(size=12)
    slices, groups = np.repeat(patients, 10), [f"p{n}" for n in range(12) for _ in range(10)]
    of_patients = bootstrap_mean(patients, [None] * 12, seed=4)
    assert bootstrap_mean(slices, groups, seed=4) == pytest.approx(of_patients)
    alone = bootstrap_mean(slices, [None] * 120, seed=4, resamples=20_000)
    assert width(alone) == pytest.approx(width(of_patients) / math.sqrt(10), rel=0.08)


def test_a_pooled_score_is_that_of_the_drawn_matrices() -> None:
    """Against resamples of the cases themselves, one after the other."""
    matrices = RNG.integers(0, 50, (9, 3, 3))

    def statistic(sums: np.ndarray) -> np.ndarray:
        return iou(sums.reshape(*sums.shape[:-1], 3, 3))

    found = bootstrap(statistic, matrices.reshape(9, 9), range(9), seed=5, resamples=20_000)
    rng = np.random.default_rng(6)
    drawn = [iou(matrices[rng.integers(0, 9, 9)].sum(0)) for _ in range(4000)]
    expected = np.quantile(drawn, [0.025, 0.975], axis=0).T
    assert np.array(found) == pytest.approx(expected, abs=0.01)


def test_one_unit_has_no_interval() -> None:
    assert bootstrap_mean([0.5], [None], seed=0) is None
    assert bootstrap_mean([0.5, 0.7, 0.1], ["a", "a", "a"], seed=0) is None
    assert bootstrap_mean([], [], seed=0) is None
    assert bootstrap_mean([0.5, math.nan, math.nan], [None] * 3, seed=0) is None
    assert bootstrap_mean([0.5, 0.7], [None] * 2, seed=0) == (0.5, 0.7)


def test_undefined_values_are_left_out() -> None:
    values = RNG.normal(size=30)
    with_gaps = np.append(values, [math.nan] * 2)
    found = bootstrap_mean(with_gaps, [None] * 32, seed=8, resamples=40_000)
    assert found == pytest.approx(bootstrap_mean(values, [None] * 30, 9, 40_000), abs=0.02)
    pair = bootstrap_mean([0.2, 0.4, *[math.nan] * 8], [None] * 10, seed=0)
    assert pair == pytest.approx((0.2, 0.4))


def test_equal_seeds_give_equal_intervals() -> None:
    values = RNG.normal(size=40)
    assert bootstrap_mean(values, ALONE, seed=1) == bootstrap_mean(values, ALONE, seed=1)
    assert bootstrap_mean(values, ALONE, seed=1) != bootstrap_mean(values, ALONE, seed=2)


def test_draws_are_uniform_with_replacement() -> None:
    counts = draws(5, 20_000, np.random.default_rng(0))
    assert counts.shape == (20_000, 5)
    assert (counts.sum(1) == 5).all()
    assert counts.mean(0) == pytest.approx(np.ones(5), abs=0.03)
    assert counts.var(0) == pytest.approx(np.full(5, 5 * 0.2 * 0.8), abs=0.03)


def test_percentiles_leave_nan_out() -> None:
    values = np.append(np.arange(101.0), math.nan)
    assert percentile_interval(values, 0.9) == pytest.approx((5.0, 95.0))
    assert percentile_interval(np.array([math.nan]), 0.9) is None


def test_seeds_and_cases_have_the_variance_of_crossed_draws() -> None:
    """Of the effects of seeds and cases and the rest: a/S + b/N + 3 c/(S N), as Owen shows."""
    seeds, cases = 30, 40
    a, b = RNG.normal(0, 1.0, seeds), RNG.normal(0, 0.7, cases)
    a, b = a - a.mean(), b - b.mean()
    rest = RNG.normal(0, 2.0, (seeds, cases))
    rest = rest - rest.mean(0) - rest.mean(1)[:, None] + rest.mean()
    values = 10 + a[:, None] + b + rest
    found = bootstrap_over_seeds_and_cases(values, [None] * cases, seed=0, resamples=20_000)
    variance = a.var() / seeds + b.var() / cases + rest.var() / (seeds * cases)
    assert width(found) == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.03)
    assert found is not None
    assert (found.low + found.high) / 2 == pytest.approx(10, abs=0.05)


def test_seeds_that_agree_leave_the_variance_of_the_cases() -> None:
    values = RNG.normal(size=(1, 40)).repeat(6, axis=0)
    found = bootstrap_over_seeds_and_cases(values, ALONE, seed=0, resamples=40_000)
    assert found == pytest.approx(bootstrap_mean(values[0], ALONE, 1, 40_000), abs=0.02)
    column = values[0, :6, None].repeat(20, axis=1)
    found = bootstrap_over_seeds_and_cases(column, [None] * 20, seed=0, resamples=40_000)
    assert found == pytest.approx(bootstrap_mean(column[:, 0], [None] * 6, 1, 40_000), abs=0.02)


def test_seeds_and_groups_of_cases() -> None:
    values = RNG.normal(size=(4, 10))
    groups = [f"p{n}" for n in range(10) for _ in range(3)]
    found = bootstrap_over_seeds_and_cases(values.repeat(3, axis=1), groups, seed=2)
    assert found == pytest.approx(bootstrap_over_seeds_and_cases(values, [None] * 10, seed=2))


def test_one_seed_or_one_group_has_no_interval() -> None:
    values = RNG.normal(size=(3, 4))
    assert bootstrap_over_seeds_and_cases(values[:1], [None] * 4, seed=0) is None
    assert bootstrap_over_seeds_and_cases(values, ["a"] * 4, seed=0) is None
    gaps = values.copy()
    gaps[1:] = math.nan
    assert bootstrap_over_seeds_and_cases(gaps, [None] * 4, seed=0) is None


def test_undefined_values_of_some_seeds_are_left_out() -> None:
    """Two seeds, two cases, one value missing: the nine draws of both, written out."""
    values = np.array([[1.0, 5.0], [2.0, math.nan]])
    means = [
        np.nanmean(values[np.ix_(rows, columns)])
        for rows in itertools.product((0, 1), repeat=2)
        for columns in itertools.product((0, 1), repeat=2)
        if not np.isnan(values[np.ix_(rows, columns)]).all()
    ]
    found = bootstrap_over_seeds_and_cases(values, [None] * 2, seed=0, resamples=40_000, level=0.4)
    expected = np.quantile(means, [0.3, 0.7], method="inverted_cdf")
    assert found == pytest.approx(tuple(expected))


def test_refuses_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="do not belong"):
        bootstrap(lambda sums: sums, np.zeros((3, 2)), [0, 1], seed=0)
    with pytest.raises(ValueError, match="seeds, 2 cases"):
        bootstrap_over_seeds_and_cases(np.zeros((3, 4)), [None, None], seed=0)
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match="level"):
            bootstrap_mean([1.0, 2.0], [None, None], seed=0, level=level)
        with pytest.raises(ValueError, match="level"):
            bootstrap_over_seeds_and_cases(np.zeros((2, 2)), [None, None], 0, level=level)
