"""Climbing the ladder with measurements that are made up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from nas.budget.ladder import Candidate
from nas.budget.limits import Limits, Measured, Unmeasured
from nas.budget.pick import Tried, as_options, climb
from nas.settings import ArchitectureSettings, SearchSettings, TrainingSettings

EPOCHS = 3
SETTINGS = SearchSettings(
    training=TrainingSettings(epochs=EPOCHS), architecture=ArchitectureSettings(diagnose_every=0)
)


def measured(seconds: float, size: float) -> Measured:
    """Of a run of this duration: 3 epochs of 2 steps and an end, the start, and the end."""
    part = seconds / (EPOCHS * 3 + 2)
    parts = {"step": part, "end of an epoch with pictures": part, "end of the run": part}
    return Measured(2, part, parts, size, 0.0)


def candidate(number: int, saves_memory_alone: bool = False) -> Candidate:
    """Told from others by its change."""
    return Candidate(SETTINGS, {"number": number}, saves_memory_alone=saves_memory_alone)


def climbed(
    rungs: list[tuple[float, float, float]], limits: Limits, spent: float = 0.0
) -> list[Tried]:
    """Rungs of (seconds, bytes, bytes with recomputed cells), which take a tenth more time."""
    answers: list[Measured | Unmeasured] = []
    offered = []
    for seconds, size, less in rungs:
        for alone, found in (
            (False, measured(seconds, size)),
            (True, measured(1.1 * seconds, less)),
        ):
            offered.append(candidate(len(offered), alone))
            answers.append(found)

    def tell() -> Iterator[Tried]:
        asked = iter(offered)
        taken: list[int] = []

        def remembered() -> Iterator[Candidate]:
            for each in asked:
                taken.append(each.changes["number"])
                yield each

        return climb(remembered(), lambda _: answers[taken[-1]], limits, lambda: spent)

    return list(tell())


RUNGS = st.lists(
    st.tuples(st.floats(1, 100), st.floats(1, 100), st.floats(1, 100)), min_size=1, max_size=5
)
BUDGETS = st.tuples(st.floats(1, 100), st.floats(1, 100))


def first_fit(rungs: list[tuple[float, float, float]], limits: Limits, spent: float) -> int | None:
    assert limits.seconds is not None and limits.bytes is not None
    number = 0
    for seconds, size, less in rungs:
        for time, memory in ((seconds, size), (1.1 * seconds, less)):
            if 1.05 * (time + spent) <= limits.seconds and 1.1 * memory <= limits.bytes:
                return number
            number += 1
    return None


@examples(max_examples=25, deadline=None)
@given(RUNGS, BUDGETS, st.floats(0, 20))
def test_the_pick_is_the_first_that_fits(
    rungs: list[tuple[float, float, float]], budget: tuple[float, float], spent: float
) -> None:
    limits = Limits(*budget)
    tried = climbed(rungs, limits, spent)
    expected = first_fit(rungs, limits, spent)
    assert [each.fits for each in tried[:-1]] == [False] * (len(tried) - 1)
    assert tried[-1].fits == (expected is not None)
    if expected is not None:
        assert tried[-1].candidate.changes == {"number": expected}


@examples(max_examples=25, deadline=None)
@given(RUNGS, BUDGETS, st.tuples(st.floats(1, 5), st.floats(1, 5)))
def test_a_larger_budget_never_picks_a_later_rung(
    rungs: list[tuple[float, float, float]],
    budget: tuple[float, float],
    factors: tuple[float, float],
) -> None:
    small = climbed(rungs, Limits(*budget))[-1]
    larger = Limits(budget[0] * factors[0], budget[1] * factors[1])
    large = climbed(rungs, larger)[-1]
    if small.fits:
        assert large.fits
        assert large.candidate.changes["number"] <= small.candidate.changes["number"]


def test_recomputed_cells_are_measured_only_behind_what_is_fast_enough() -> None:
    tried = climbed([(50.0, 9.0, 1.0), (5.0, 9.0, 1.0)], Limits(20.0, 2.0))
    assert [each.candidate.changes["number"] for each in tried] == [0, 2, 3]


def test_what_could_not_be_measured_does_not_fit() -> None:
    limits = Limits(bytes=1e9)
    (only,) = climb([candidate(0)], lambda _: Unmeasured("memory ran out"), limits, lambda: 0.0)
    assert not only.fits
    assert str(only).endswith("memory ran out")


def test_durations_are_those_of_the_run() -> None:
    parts = {"step": 2.0, "end of an epoch with pictures": 4.5, "end of the run": 1.5}
    found = Measured(4, 7.0, parts, 2.5e9, 1e9)
    tried = Tried(Candidate(SETTINGS), found, 11.0, Limits(40.0, 5e9))
    assert tried.seconds == 11 + 7 + EPOCHS * (4 * 2 + 4.5) + 1.5
    assert tried.step_seconds == pytest.approx(2.0)
    assert tried.excess == pytest.approx(57 / 40)
    assert str(tried) == "your settings: 57 s, 2.50 GB"


def test_changes_are_told_as_options() -> None:
    changed = {"order": "first", "recompute_cells": True, "diagnose_every": 0}
    assert as_options(changed) == "--order first --recompute-cells --diagnose-every 0"
