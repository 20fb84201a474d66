"""Climbing the ladder with measurements that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from nas.budget import pick
from nas.budget.ladder import Candidate, Saving
from nas.budget.limits import Limits, Measured, Unmeasured
from nas.budget.pick import Tried, as_options, climb
from nas.errors import UsageError
from nas.search import check_settings
from nas.settings import (
    ArchitectureSettings,
    BudgetSettings,
    RunSettings,
    SearchSettings,
    TrainingSettings,
)

EPOCHS, MANY = 3, 500
SETTINGS = SearchSettings(
    training=TrainingSettings(epochs=EPOCHS), architecture=ArchitectureSettings(diagnose_every=0)
)


def measured(seconds: float, size: float) -> Measured:
    """Of a run of this duration: 3 epochs of 2 steps and an end, the start, and the end."""
    part = seconds / (EPOCHS * 3 + 2)
    parts = {"step": part, "end of an epoch with pictures": part, "end of the run": part}
    return Measured(2, part, parts, size, 0.0)


LONG = msgspec.structs.replace(SETTINGS, training=TrainingSettings(epochs=MANY))


def long(seconds: float, size: float) -> Measured:
    """As `measured`, of a run of many steps."""
    part = seconds / (MANY * 3 + 2)
    parts = dict.fromkeys(("step", "end of an epoch", "end of an epoch with pictures"), part)
    return Measured(2, part, parts | {"end of the run": part}, size, 0.0)


def candidate(number: int, saves: Saving | None = None) -> Candidate:
    """Told from others by its change."""
    return Candidate(SETTINGS, {"number": number}, saves=saves)


def climbed(
    rungs: list[tuple[float, float, float]], limits: Limits, spent: float = 0.0
) -> list[Tried]:
    """Rungs of (seconds, bytes, bytes with recomputed cells), which take a tenth more time."""
    answers: list[Measured | Unmeasured] = []
    offered = []
    for seconds, size, less in rungs:
        for alone, found in (
            (None, measured(seconds, size)),
            ("memory", measured(1.1 * seconds, less)),
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


HOUR = Limits(3600.0, 2.0)


def numbers(
    found: list[Measured | Unmeasured], offered: list[Candidate], spent: float = 0.0
) -> list[int]:
    """Of the candidates that are tried, of runs of many steps."""
    answers = iter(found)
    asked = [Candidate(LONG, one.changes, saves=one.saves) for one in offered]
    tried = climb(asked, lambda _: next(answers), HOUR, lambda: spent)
    return [one.candidate.changes["number"] for one in tried]


@pytest.mark.parametrize(
    ("seconds", "size", "spent", "expected"),
    [
        (8000.0, 1.0, 0.0, [0, 1]),
        (10801.0, 1.0, 0.0, [0]),  # too slow by more than can be won
        (3000.0, 9.0, 0.0, [0]),  # fast enough, but too large
        (8000.0, 2.5, 0.0, [0]),  # both
        (8000.0, 1.0, 200.0, [0]),  # no time to measure it
    ],
)
def test_captured_steps_are_measured_only_where_they_may_help(
    seconds: float, size: float, spent: float, expected: list[int]
) -> None:
    found: list[Measured | Unmeasured] = [long(seconds, size), long(5000.0, 1.0)]
    assert numbers(found, [candidate(0), candidate(1, "time")], spent) == expected


def test_captured_steps_that_cannot_be_measured_are_not_tried_again() -> None:
    found = [long(8000.0, 1.0), Unmeasured("refused"), long(7000.0, 1.0), long(100.0, 1.0)]
    offered = [candidate(0), candidate(1, "time"), candidate(2), candidate(3, "time"), candidate(4)]
    assert numbers(found, offered) == [0, 1, 2, 4]


@pytest.mark.parametrize(("threads", "options"), [(1, "--capture"), (2, "--capture --streams 2")])
def test_what_cannot_be_captured_is_no_candidate_and_no_error(
    threads: int,
    options: str,
    monkeypatch: pytest.MonkeyPatch,
    use_threads: Callable[[int], None],
) -> None:
    use_threads(threads)

    def probe(settings: SearchSettings, seconds: float) -> Measured:
        if settings.run.capture:
            raise UsageError("--capture: it draws random numbers.")
        return long(1e4 if settings.architecture.order == "second" else 1e3, 1.0)

    monkeypatch.setattr(pick, "probe", probe)
    run = RunSettings(device="cpu")
    own = msgspec.structs.replace(LONG, run=run, budget=BudgetSettings(budget=("80min",)))
    told: list[str] = []
    tried = pick.pick(own, (), check_settings, told.append)
    assert tried[-1].options == "--order first"
    assert f"{options}: --capture: it draws random numbers." in told
    captured = msgspec.structs.replace(own, run=RunSettings(capture=True))
    with pytest.raises(UsageError, match="draws random numbers"):
        pick.pick(captured, (), check_settings, told.append)


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
