"""What is done beside the steps keeps to its part of the time, by a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.time_share import TimeShare


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_first_time_is_free_and_the_next_waits() -> None:
    clock = Clock()
    share = TimeShare(0.01, clock)
    assert share.is_left
    with share.spending():
        clock.seconds += 2.0
    found = []
    for _ in range(3):
        clock.seconds += 66.0
        found.append((clock.seconds, share.is_left))
    assert found == [(68.0, False), (134.0, False), (200.0, True)]


def test_what_fails_has_taken_its_time_too() -> None:
    clock = Clock()
    share = TimeShare(0.5, clock)
    with pytest.raises(OSError), share.spending():
        clock.seconds += 3.0
        raise OSError
    assert not share.is_left
    clock.seconds += 3.0
    assert share.is_left


@settings(max_examples=25, deadline=None)
@given(
    largest=st.floats(0.01, 0.5),
    costs=st.lists(st.floats(0.1, 50.0), min_size=30, max_size=60),
    work=st.floats(1.0, 100.0),
)
def test_no_more_than_the_part_and_one_time(
    largest: float, costs: list[float], work: float
) -> None:
    """Taken whenever allowed: at the start of each time, what came before is within the part."""
    clock, spent = Clock(), 0.0
    share = TimeShare(largest, clock)
    for cost in costs:
        clock.seconds += work
        if share.is_left:
            assert spent <= largest * clock.seconds * (1 + 1e-9)
            with share.spending():
                clock.seconds += cost
            spent += cost
        else:
            assert spent > largest * clock.seconds * (1 - 1e-9)
