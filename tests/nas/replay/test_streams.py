"""Streams make calls behind those that they need, and end together, also where one fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.replay.schedule import Schedule
from nas.replay.streams import Streams, events
from search_spaces.kernels.tape import Call


@st.composite
def plans(draw: st.DrawFn) -> tuple[Schedule, list[set[int]], int]:
    """Calls in the order of their numbers, what each needs, and how many streams."""
    count = draw(st.integers(1, 4))
    calls = draw(st.integers(0, 16))
    needed = [
        draw(st.sets(st.integers(0, call - 1), max_size=3)) if call else set()
        for call in range(calls)
    ]
    streams = draw(st.lists(st.integers(0, count - 1), min_size=calls, max_size=calls))
    return Schedule(list(range(calls)), streams), needed, count


@given(plans())
def test_events_are_enough_and_none_follows_from_others(
    drawn: tuple[Schedule, list[set[int]], int],
) -> None:
    plan, needed, count = drawn
    found = list(events(plan, needed, count))

    def known_before(pairs: list[tuple[int, int]]) -> list[set[int]]:
        """What is done when a call begins, by the order of its stream and by events."""
        known: list[set[int]] = []
        for call, stream in enumerate(plan.streams):
            others = [other for other in range(call) if plan.streams[other] == stream]
            others += [other for waiting, other in pairs if waiting == call]
            known.append(set(others).union(*(known[other] for other in others)))
        return known

    known = known_before(found)
    assert all(needed[call] <= known[call] for call in plan.order)
    assert all(plan.streams[call] != plan.streams[other] for call, other in found)
    for pair in found:
        without = known_before([each for each in found if each != pair])
        assert pair[1] not in without[pair[0]]


def streams_of(
    functions: Sequence[Callable[[], object]], streams: list[int], needed: list[set[int]]
) -> Streams:
    calls = [Call(function, (), {}, ()) for function in functions]
    plan = Schedule(list(range(len(calls))), streams)
    return Streams(calls, plan, needed, max(streams) + 1)


def test_calls_wait_for_others_as_often_as_they_are_made() -> None:
    done: list[str] = []

    def slow() -> None:
        time.sleep(0.02)
        done.append("slow")

    streams = streams_of([slow, lambda: done.append("behind")], [1, 0], [set(), {0}])
    for _ in range(3):
        streams.run()
    assert done == ["slow", "behind"] * 3


def test_streams_are_threads_without_gradients_and_the_first_is_the_caller(
    use_threads: Callable[[int], None],
) -> None:
    found: dict[int, tuple[int, bool, int]] = {}
    all_are_here = threading.Barrier(3)

    def seen(stream: int) -> None:
        all_are_here.wait(timeout=60)
        told = threading.get_ident(), torch.is_grad_enabled(), torch.get_num_threads()
        found[stream] = told

    streams = streams_of([partial(seen, stream) for stream in range(3)], [0, 1, 2], [set()] * 3)
    for threads in (3, 2):
        use_threads(threads)
        streams.run()
        assert found[0][0] == threading.get_ident()
        assert len({thread for thread, _, _ in found.values()}) == 3
        assert {told[1:] for told in found.values()} == {(False, threads)}


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failure_ends_all_streams_and_the_next_run_is_whole(failing: int) -> None:
    fails, done = [True], []

    def fail() -> None:
        if fails[0]:
            raise ValueError("boom")

    functions = [fail, lambda: done.append(1), lambda: done.append(2), lambda: done.append(3)]
    streams = [failing, 1 - failing, failing, 1 - failing]
    chain: list[set[int]] = [set(), {0}, {1}, {2}]
    running = streams_of(functions, streams, chain)
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            running.run()
    fails[0] = False
    for _ in range(2):
        done.clear()
        running.run()
        assert done == [1, 2, 3]


@pytest.mark.parametrize("begun", [0, 1])
def test_a_stream_that_cannot_begin_leaves_none_waiting(
    begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    functions = [partial(done.append, number) for number in range(4)]
    running = streams_of(functions, [0, 2, 1, 0], [set(), {0}, {1}, {2}])
    submit, before = running._threads.submit, []

    def interrupted(*given: object) -> object:
        if len(before) == begun:
            raise KeyboardInterrupt
        before.append(given)
        return submit(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(running._threads, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            running.run()
    done.clear()
    running.run()
    assert done == [0, 1, 2, 3]
