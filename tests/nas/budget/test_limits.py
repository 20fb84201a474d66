"""A budget's words, and whether what was measured fits them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.budget.limits import (
    Limits,
    Measured,
    Unmeasured,
    epoch_seconds,
    fits_memory,
    fits_time,
    limits_of,
    parse_budget,
    worst,
)
from nas.errors import UsageError
from nas.settings import BudgetSettings


@pytest.mark.parametrize(
    ("words", "seconds", "size"),
    [
        (("90min",), 5400, None),
        (("2h",), 7200, None),
        (("1.5h",), 5400, None),
        (("8GB",), None, 8_000_000_000),
        (("800MB",), None, 800_000_000),
        (("90min", "8GB"), 5400, 8_000_000_000),
        (("8gb", "90MIN"), 5400, 8_000_000_000),
    ],
)
def test_words_are_limits(words: tuple[str, ...], seconds: float, size: float) -> None:
    assert parse_budget(words) == Limits(seconds, size)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("90",), "'90' is neither a time nor a memory"),
        (("8", "apples"), "'8' is neither"),
        (("8apples",), "'8apples' is neither"),
        (("-1min",), "'-1min' is neither"),
        (("0h",), "'0h' is neither"),
        (("1e3min",), "'1e3min' is neither"),
        (("",), "'' is neither"),
        (("90min", "2h"), "'2h' is a second limit of the same kind"),
        (("1GB", "90min", "1MB"), "'1MB' is a second limit of the same kind"),
    ],
)
def test_other_words_are_refused(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_budget(words)
    with pytest.raises(UsageError, match=f"--budget {' '.join(words)}"):
        limits_of(BudgetSettings(budget=words))


def test_no_words_are_no_limits() -> None:
    assert limits_of(BudgetSettings()) is None


@pytest.mark.parametrize(
    ("minutes", "probe_minutes"), [(1, 0.5), (2, 1), (10, 2), (20, 2), (60, 6), (1200, 120)]
)
def test_the_probe_takes_a_tenth_or_two_minutes_and_never_half(
    minutes: float, probe_minutes: float
) -> None:
    assert Limits(seconds=60 * minutes).probe_seconds == pytest.approx(60 * probe_minutes)
    assert Limits(bytes=1.0).probe_seconds == 600


def test_five_percent_of_time_and_ten_of_memory_are_kept_in_reserve() -> None:
    limits = Limits(seconds=105.0, bytes=1100.0)
    assert fits_time(limits, 99.99) and not fits_time(limits, 100.01)
    assert fits_memory(limits, 999.9) and not fits_memory(limits, 1000.1)
    assert fits_time(Limits(bytes=1.0), math.inf) and fits_memory(Limits(seconds=1.0), math.inf)


def test_an_epoch_takes_what_its_parts_take() -> None:
    measured = Measured(3, 10.0, {"a": 2.0, "b": 5.0}, 1.0, 1.0)
    assert epoch_seconds(measured, [{"a": 3}, {"a": 2, "b": 4}]) == [6.0, 24.0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 9)] * 4), min_size=1, max_size=4))
def test_of_several_processes_the_largest_of_each_number_counts(
    numbers: list[tuple[float, ...]],
) -> None:
    found = [Measured(5, a, {"step": b}, c, d) for a, b, c, d in numbers]
    joined = worst(found)
    assert isinstance(joined, Measured)
    for each in found:
        assert joined.start_seconds >= each.start_seconds
        assert joined.seconds["step"] >= each.seconds["step"]
    columns = [max(column) for column in zip(*numbers, strict=True)]
    assert joined == Measured(5, columns[0], {"step": columns[1]}, columns[2], columns[3])
    assert worst([*found, Unmeasured("too long")]) == Unmeasured("too long")
