"""The order of jobs, by hand."""

from __future__ import annotations

import pytest

from nas.engines.schedule import Schedule, Ticket


def started(schedule: Schedule[str], room: int) -> Ticket[str]:
    ticket = schedule.start(room)
    assert ticket is not None
    return ticket


def test_jobs_start_in_order_while_there_is_room_and_are_taken_late() -> None:
    taken: list[str] = []

    def jobs():  # type: ignore[no-untyped-def]
        for name in "abc":
            taken.append(name)
            yield name

    schedule = Schedule(jobs())
    assert [started(schedule, 2).work, started(schedule, 2).work] == ["a", "b"]
    assert schedule.start(2) is None
    assert taken == ["a", "b"]
    schedule.ended()
    assert started(schedule, 2).work == "c"
    schedule.ended()
    assert schedule.start(2) is None


def test_without_room_one_still_starts() -> None:
    schedule = Schedule(["a", "b"])
    assert started(schedule, 0).work == "a"
    assert schedule.start(0) is None


def test_what_was_lost_goes_first_until_it_is_given_up() -> None:
    schedule = Schedule(["a", "b", "c"], losses=2)
    first = started(schedule, 1)
    for _ in range(2):
        assert schedule.lost(first)
        assert started(schedule, 1) is first
    assert first.retried
    assert not schedule.lost(first)
    following = started(schedule, 1)
    assert (following.work, following.retried) == ("b", False)


def test_what_memory_ran_out_for_is_last_and_alone_and_once() -> None:
    schedule = Schedule(["large", "huge", "small"])
    large, huge = started(schedule, 2), started(schedule, 2)
    assert schedule.ran_out_of_memory(large)
    assert schedule.ran_out_of_memory(huge)
    assert started(schedule, 2).work == "small"
    assert schedule.start(2) is None
    schedule.ended()
    assert started(schedule, 2) is large
    assert schedule.start(2) is None
    schedule.ended()
    assert started(schedule, 2) is huge
    assert huge.retried
    assert not schedule.ran_out_of_memory(huge)
    assert schedule.start(2) is None


@pytest.mark.parametrize("room", [1, 3])
def test_a_loss_of_what_runs_alone_stays_alone(room: int) -> None:
    schedule = Schedule(["large"])
    large = started(schedule, room)
    assert schedule.ran_out_of_memory(large)
    large = started(schedule, room)
    assert schedule.lost(large)
    assert started(schedule, room) is large
    assert schedule.start(room) is None
