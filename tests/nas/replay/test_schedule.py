"""Plans are right orders, and use all streams where calls do not need each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.replay import schedule as module
from nas.replay.schedule import LATENCY, Schedule, schedule


@st.composite
def graphs(draw: st.DrawFn) -> list[set[int]]:
    """What each call needs, of those before it."""
    count = draw(st.integers(0, 20))
    return [
        draw(st.sets(st.integers(0, call - 1), max_size=3)) if call else set()
        for call in range(count)
    ]


@given(graphs(), st.integers(1, 4), st.data())
def test_a_plan_makes_each_call_behind_those_that_it_needs(
    needed: list[set[int]], streams: int, data: st.DataObject
) -> None:
    costs = [data.draw(st.sampled_from([0.0, 1e-6, 1e-3])) for _ in needed]
    plan = schedule(costs, needed, streams)
    assert sorted(plan.order) == list(range(len(needed)))
    assert all(0 <= stream < streams for stream in plan.streams)
    places = {call: place for place, call in enumerate(plan.order)}
    assert all(places[other] < places[call] for call in places for other in needed[call])


@given(graphs())
def test_one_stream_makes_calls_in_their_order(needed: list[set[int]]) -> None:
    assert schedule([1e-3] * len(needed), needed, 1) == Schedule(
        list(range(len(needed))), [0] * len(needed)
    )


def chains(count: int, length: int) -> list[set[int]]:
    return [
        {chain * length + place - 1} if place else set()
        for chain in range(count)
        for place in range(length)
    ]


def test_chains_stay_in_streams_of_their_own() -> None:
    plan = schedule([1e-5] * 200, chains(2, 100), 2)
    assert len(set(plan.streams[:100])) == len(set(plan.streams[100:])) == 1
    assert plan.streams[0] != plan.streams[100]


def test_streams_get_alike_much_to_do() -> None:
    costs = [1e-3 * (1 + call % 7) for call in range(100)]
    plan = schedule(costs, [set() for _ in costs], 3)
    shares = [
        sum(c for c, own in zip(costs, plan.streams, strict=True) if own == s) for s in range(3)
    ]
    assert max(shares) - min(shares) <= 7e-3


def test_what_another_stream_has_just_done_is_not_waited_for() -> None:
    """Unless that takes longer than the handing over."""
    fork = [set(), {0}, {0}, {1, 2}]
    assert len(set(schedule([0.0, LATENCY / 4, LATENCY / 4, 0.0], fork, 2).streams)) == 1
    assert len(set(schedule([0.0, LATENCY * 4, LATENCY * 4, 0.0], fork, 2).streams)) == 2


def test_calls_are_made_only_so_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 10e-3)
    plan = schedule([1e-3] * 200, chains(2, 100), 2)
    assert plan.order.index(100) >= 90
