"""Welch's test against its formula, and Student's distribution integrated numerically."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.metrics.tests_of_means import welch

SAMPLES = st.lists(st.integers(-20, 20).map(lambda n: n / 4), min_size=2, max_size=8)


def tail(statistic: float, freedom: float) -> float:
    """P(|T| > statistic) of Student's distribution, by integration of its density."""
    grid = np.linspace(0, abs(statistic), 200_001)
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    density = np.exp(log_scale - (freedom + 1) / 2 * np.log1p(grid**2 / freedom))
    density /= math.sqrt(freedom * math.pi)
    return 1 - 2 * float(np.sum((density[1:] + density[:-1]) / 2 * np.diff(grid)))


@pytest.mark.filterwarnings("ignore:Precision loss")
@given(first=SAMPLES, second=SAMPLES)
@settings(max_examples=25, deadline=None)
def test_is_the_formula_of_welch(first: list[float], second: list[float]) -> None:
    a, b = (np.var(each, ddof=1) / len(each) for each in (first, second))
    if a + b == 0:
        return
    found = welch(first, second)
    assert found.means == pytest.approx((np.mean(first), np.mean(second)))
    statistic = (np.mean(first) - np.mean(second)) / np.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    assert found.statistic == pytest.approx(statistic)
    assert found.degrees_of_freedom == pytest.approx(freedom)
    assert found.p == pytest.approx(tail(float(statistic), float(freedom)), abs=1e-6)


def test_variances_are_not_pooled() -> None:
    """With equal variances assumed, the second would have 6 degrees of freedom and another t."""
    found = welch([0.0, 0.1], [1.0, 9.0, 3.0, 5.0, 7.0, 5.0])
    assert found.degrees_of_freedom == pytest.approx(5.01, abs=0.02)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([1.0], [1.0, 2.0], "two or more"),
        ([1.0, 2.0], [], "two or more"),
        ([1.0, math.nan], [1.0, 2.0], "finite"),
        ([1.0, 1.0], [2.0, 2.0], "variance"),
    ],
)
def test_refuses(first: list[float], second: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        welch(first, second)
