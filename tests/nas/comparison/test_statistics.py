"""Intervals against resampling by hand, effects and power against closed forms and integrals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import chi, norm, t

from nas.comparison.statistics import (
    LARGE_NONCENTRALITY,
    MOST_SEEDS,
    by_unit,
    case_scores,
    cohen_d,
    estimate,
    power_of_paired_test,
    resample,
    resampled_scores,
    seeds_needed,
)
from nas.metrics.semantic import Counts


def mean_iou(matrix: np.ndarray) -> float:
    """By the definition, class by class."""
    scores = []
    for each in range(len(matrix)):
        union = matrix[each].sum() + matrix[:, each].sum() - matrix[each, each]
        if union:
            scores.append(matrix[each, each] / union)
    return float(np.mean(scores)) if scores else math.nan


def some(seeds: int, trainings: int, cases: int, classes: int = 2) -> list[Counts]:
    rng = np.random.default_rng(5)
    shape = (trainings, cases, classes, classes)
    return [rng.integers(0, 9, shape) + 5 * np.eye(classes, dtype=int) for _ in range(seeds)]


GROUPS = ("a", "b", "a", None, None)


def test_a_resample_is_its_cases_put_together_by_hand() -> None:
    (trainings,) = some(1, 3, len(GROUPS))
    drawn = resample(4, GROUPS, 20, 7)
    assert drawn.seeds.shape == (20, 4)
    assert drawn.units.shape == (20, 4)
    assert (drawn.seeds.sum(1) == 4).all()
    units = [[0, 2], [1], [3], [4]]
    found = resampled_scores(trainings, "mean_iou", drawn)
    for row, counts in zip(found, drawn.units, strict=True):
        taken = [case for unit, n in zip(units, counts, strict=True) for case in unit * int(n)]
        scores = [mean_iou(sum(matrices[case] for case in taken)) for matrices in trainings]
        assert row == pytest.approx(np.mean(scores))


def test_cases_are_drawn_alike_for_any_number_of_seeds() -> None:
    assert np.array_equal(resample(2, GROUPS, 9, 0).units, resample(5, GROUPS, 9, 0).units)


def test_an_estimate_is_the_percentiles_of_means_over_drawn_seeds() -> None:
    scores = np.array([0.2, 0.5, 0.9])
    drawn = resample(3, GROUPS, 500, 1)
    resampled = np.random.default_rng(0).random((500, 3))
    found = estimate(scores, resampled, drawn, 0.9)
    means = [
        np.mean(np.repeat(row, counts.astype(int)))
        for row, counts in zip(resampled, drawn.seeds, strict=True)
    ]
    assert found.value == pytest.approx(np.mean(scores))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])))


def test_seeds_without_a_score_in_a_resample_are_left_out_of_it() -> None:
    drawn = resample(2, GROUPS, 200, 1)
    resampled = np.tile([0.4, math.nan], (200, 1))
    found = estimate([0.4, 0.4], resampled, drawn, 0.95)
    assert (found.low, found.high) == pytest.approx((0.4, 0.4))


def test_the_interval_is_over_seeds_and_over_cases() -> None:
    """Equal cases leave the spread of seeds, equal seeds that of cases; one of each leaves none."""
    same_cases = [np.tile(np.array([[k, 9 - k], [1, 9]]), (1, 6, 1, 1)) for k in (2, 5, 8)]
    one_seed = some(1, 1, 6)
    for seeds, groups, has_interval in (
        (same_cases, (None,) * 6, True),
        (one_seed, (None,) * 6, True),
        (same_cases, ("a",) * 6, True),
        (one_seed, ("a",) * 6, False),
    ):
        drawn = resample(len(seeds), groups, 300, 0)
        resampled = np.stack([resampled_scores(s, "mean_iou", drawn) for s in seeds], axis=1)
        scores = [mean_iou(s[0].sum(0)) for s in seeds]
        found = estimate(scores, resampled, drawn, 0.95)
        assert (found.low is not None) is has_interval
        if found.low is not None and found.high is not None:
            assert found.low < found.value < found.high


def test_luck_of_the_cases_does_not_average_out_over_seeds() -> None:
    """Ten seeds that agree on every case have the interval of one of them."""
    (one,) = some(1, 1, 8)
    widths = []
    for count in (1, 10):
        drawn = resample(count, (None,) * 8, 2000, 3)
        values = np.stack([resampled_scores(one, "mean_iou", drawn)] * count, axis=1)
        found = estimate([0.5] * count, values, drawn, 0.95)
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] == pytest.approx(widths[1])


def test_the_intervals_cover_as_often_as_they_say() -> None:
    """Normal scores of 8 seeds, every case equal: about 95 % hold the truth, less for few seeds."""
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(300):
        scores = rng.normal(0.5, 0.1, 8)
        drawn = resample(8, (None,) * 3, 400, trial)
        found = estimate(scores, np.tile(scores, (400, 1)), drawn, 0.95)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.5 <= found.high
    assert 0.84 < held / 300 < 0.97


def test_case_scores_are_means_over_trainings_then_seeds() -> None:
    first, second = some(1, 1, 3)[0], some(2, 3, 3)[1]
    expected = [
        (mean_iou(first[0, case]) + np.mean([mean_iou(each[case]) for each in second])) / 2
        for case in range(3)
    ]
    assert case_scores([first, second], "mean_iou") == pytest.approx(expected)
    empty = np.zeros((1, 1, 2, 2), int)
    assert np.isnan(case_scores([empty], "foreground_iou")).all()


def test_cases_of_a_group_are_one_value() -> None:
    values = [1.0, 5.0, 3.0, math.nan, 7.0]
    assert by_unit(values, GROUPS)[[0, 1, 3]].tolist() == [2.0, 5.0, 7.0]
    assert math.isnan(by_unit(values, GROUPS)[2])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0, 3.0], [0.0, 2.0], 1 / math.sqrt(2)),
        ([2.0, 4.0, 6.0], [1.0, 1.0], 3 / math.sqrt(8 / 3)),
        ([1.0], [0.0, 2.0], None),
        ([0.5, 0.5], [0.25, 0.25], None),
        ([0.5, 0.5, 0.5], [0.5, 0.25, 0.75], 0.0),
    ],
)
def test_cohens_d_by_hand(
    first: Sequence[float], second: Sequence[float], expected: float | None
) -> None:
    found = cohen_d(first, second)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("effect", [-0.7, 0.0, 0.3, 2.0])
def test_power_is_the_integral_over_the_spread_that_is_found(seeds: int, effect: float) -> None:
    """Given the estimated deviation, the mean is normal; the deviation itself is a chi variable."""
    critical, freedom = t.ppf(0.975, seeds - 1), seeds - 1
    shift = effect * math.sqrt(seeds)

    def given_the_spread(s: float) -> float:
        bound = critical * s
        return float((norm.sf(bound - shift) + norm.cdf(-bound - shift)) * density(s))

    def density(s: float) -> float:
        return float(chi.pdf(s * math.sqrt(freedom), freedom) * math.sqrt(freedom))

    expected = quad(given_the_spread, 0, 8, limit=200)[0]
    assert power_of_paired_test(seeds, effect) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 400])
def test_power_goes_on_where_the_density_underflows(seeds: int) -> None:
    """Just below and above the bound; and no effect, however large, loses it."""
    bound = LARGE_NONCENTRALITY / math.sqrt(seeds)
    below, above = (power_of_paired_test(seeds, bound * share) for share in (0.999, 1.001))
    assert below == pytest.approx(above, abs=2e-3)
    assert power_of_paired_test(seeds, 1000.0) > 0.999


@pytest.mark.parametrize(("effect", "expected"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_needed_are_those_of_the_published_tables(effect: float, expected: int) -> None:
    """Numbers of pairs as G*Power gives them: two-sided 5 %, 80 %."""
    differences = np.array([-1.0, 0.0, 1.0])
    assert seeds_needed(list(differences), effect).seeds == expected


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-99, 99).map(float), min_size=3, max_size=8), st.floats(0.5, 50))
def test_one_seed_less_would_not_do(differences: list[float], wanted: float) -> None:
    spread = float(np.std(differences, ddof=1))
    found = seeds_needed(differences, wanted)
    if spread == 0:
        assert found.seeds is None
        return
    if found.seeds is None:
        assert power_of_paired_test(MOST_SEEDS, wanted / spread) < 0.8
        return
    assert power_of_paired_test(found.seeds, wanted / spread) >= 0.8
    assert found.seeds == 2 or power_of_paired_test(found.seeds - 1, wanted / spread) < 0.8


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([0.1, 0.2], "fewer than 3"),
        ([], "fewer than 3"),
        ([0.1 + 0.2, 0.3, 0.3], "do not differ"),
        ([-1.0, 0.0, 1.0], "10,000"),
    ],
)
def test_where_it_is_not_known_it_is_said_why(differences: list[float], words: str) -> None:
    found = seeds_needed(differences, 1e-4)
    assert found.seeds is None
    assert words in str(found.reason)
