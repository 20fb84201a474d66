"""Wilcoxon's test against all choices of signs, and against scipy's."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nas.metrics.paired_tests import EXACT_UP_TO, wilcoxon

DIFFERENCES = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


@given(differences=DIFFERENCES)
@settings(max_examples=25, deadline=None)
def test_p_is_the_share_of_all_choices_of_signs(differences: list[int]) -> None:
    """Differences of nine values are full of ties and zeros."""
    found = wilcoxon(differences, [0.0] * len(differences))
    kept = [each for each in differences if each]
    sizes = sorted(abs(each) for each in kept)
    ranks = [(2 * sizes.index(abs(d)) + sizes.count(abs(d)) + 1) / 2 for d in kept]
    positive = sum(rank for rank, d in zip(ranks, kept, strict=True) if d > 0)
    assert found.positive == positive
    assert found.negative == sum(ranks) - positive
    assert found.zeros == len(differences) - len(kept)
    assert found.exact
    middle = sum(ranks) / 2
    sums = [
        sum(rank for rank, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    assert found.p == pytest.approx(
        np.mean([abs(each - middle) >= abs(positive - middle) for each in sums])
    )


@pytest.mark.parametrize("count", [5, 12, EXACT_UP_TO])
def test_without_ties_it_is_scipys_exact_test(count: int) -> None:
    rng = np.random.default_rng(count)
    first, second = rng.normal(0.4, 1, count), rng.normal(0, 1, count)
    found = wilcoxon(first, second)
    expected = stats.wilcoxon(first, second, method="exact")
    assert (found.exact, found.zeros, found.pairs) == (True, 0, count)
    assert min(found.positive, found.negative) == expected.statistic
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.median_difference == pytest.approx(np.median(first - second))


def test_many_pairs_take_the_normal_distribution_with_ties() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, 90) + 1, rng.integers(0, 9, 90)
    found = wilcoxon(first, second)
    expected = stats.wilcoxon(first, second, method="approx", correction=False)
    assert not found.exact
    assert found.zeros == (first == second).sum()
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_side_and_the_size_of_the_effect() -> None:
    """Ranks 1, 2, 3 with signs -, +, +: (5 - 1) / 6."""
    found = wilcoxon([0.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 4.0])
    assert (found.positive, found.negative, found.zeros, found.pairs) == (5, 1, 1, 4)
    assert found.effect_size == pytest.approx(2 / 3)
    assert found.median_difference == 1.0
    assert wilcoxon([1.0, 0.0], [0.0, -3.0]).effect_size == 1
    assert wilcoxon([0.0, -3.0], [1.0, 0.0]).effect_size == -1


def test_no_difference_at_all() -> None:
    found = wilcoxon([0.5, 0.7], [0.5, 0.7])
    assert (found.p, found.effect_size, found.zeros) == (1.0, 0.0, 2)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([1.0], [1.0, 2.0], "as many"),
        ([], [], "1 or more"),
        ([math.nan], [1.0], "finite"),
        ([math.inf], [math.inf], "finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_refuses(first: list[float], second: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wilcoxon(first, second)
