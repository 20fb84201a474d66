"""Holm's method against the procedure itself, step by step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.metrics.multiple_tests import holm


def rejected(ps: list[float], level: float) -> list[bool]:
    """The smallest first, each against level / number of those left, until one is kept."""
    decisions = [False] * len(ps)
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    for step, place in enumerate(order):
        if ps[place] * (len(ps) - step) > level:
            break
        decisions[place] = True
    return decisions


@given(
    ps=st.lists(st.integers(0, 20).map(lambda n: n / 40), max_size=6), level=st.floats(0.01, 0.99)
)
@settings(max_examples=25, deadline=None)
def test_rejects_what_the_procedure_rejects(ps: list[float], level: float) -> None:
    assert [p <= level for p in holm(ps)] == rejected(ps, level)


def test_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.6]) == (1.0, 1.0)
    assert holm([0.2]) == (0.2,)


@pytest.mark.parametrize("ps", [[-0.1], [0.5, 1.1], [float("nan")]])
def test_refuses(ps: list[float]) -> None:
    with pytest.raises(ValueError, match="in .0, 1."):
        holm(ps)
