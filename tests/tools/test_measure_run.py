"""Times by part, on a clock that is set by hand; the tables that are printed of them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.bilevel import Bilevel, Player, UnrolledStep
from nas.captured import Captured

TOOL = Path(__file__).parents[2] / "tools/measure_run.py"
SPECIFICATION = importlib.util.spec_from_file_location("measure_run", TOOL)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
measure_run = sys.modules["measure_run"] = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(measure_run)


@pytest.fixture
def now() -> list[float]:
    """What a clock shows."""
    return [0.0]


def test_a_part_within_another_counts_for_itself_alone(now: list[float]) -> None:
    clock = measure_run.Clock(lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    inner = clock.timed(wait, "inner")

    def outer() -> None:
        wait(1)
        inner(10)
        wait(2)

    wait(100)
    clock.timed(outer, "outer")()
    wait(100)
    assert dict(clock.seconds) == {"outer": 3, "inner": 10}


def stage(diagnose_every: int) -> Any:
    """Of 10 steps an epoch."""
    architecture = SimpleNamespace(diagnose_every=diagnose_every)
    return SimpleNamespace(steps=10, settings=SimpleNamespace(architecture=architecture))


def test_the_first_step_ends_the_start(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("measure_run.time.time", lambda: 100 + now[0])
    clock = measure_run.Clock(lambda: now[0])
    step = clock.counted(lambda *place: now.append(now.pop() + 5), memory_every=2)
    now[0] = 7
    for number in range(4):
        step(stage(diagnose_every=0), 0, number)
    assert clock.steps == 4
    assert clock.first_step == 107
    assert clock.step_seconds == [5, 5]
    assert list(clock.memory) == [2, 4]


def test_steps_that_are_not_taken_count_as_the_later_ones_that_are(now: list[float]) -> None:
    """Plain ones take 50, 3, 9 and 4 s, of which two warm up; diagnosed ones 20 s more."""
    clock, taken = measure_run.Clock(lambda: now[0], taken=4), []
    seconds = {1: 50.0, 2: 3.0, 3: 9.0, 4: 4.0}

    def wait(seconds: float) -> None:
        now[0] += seconds

    def take(_: Any, epoch: int, step: int) -> dict[str, float]:
        count = 10 * epoch + step
        taken.append(count)
        clock.timed(wait, measure_run.STEPS)(seconds.get(count, 4.0))
        if count % 8 == 0:
            clock.timed(wait, "diagnosis")(20.0)
        return {"loss": 1.0}

    step = clock.counted(take, memory_every=0)
    for count in range(20):
        step(stage(diagnose_every=8), *divmod(count, 10))
    assert taken == [0, 1, 2, 3, 4, 8, 16]
    assert clock.step_seconds == [24.0, 50.0]
    assert clock.steps == 20
    assert clock.seconds[measure_run.STEPS] == 50 + 3 + 9 + 4 + 3 * 4 + 13 * 6.5
    assert clock.seconds["diagnosis"] == 60
    assert clock.calls["diagnosis"] == 3
    assert clock.now() == now[0] + 13 * 6.5


class SlowReplays:
    """Replays that take five seconds, of work that takes none."""

    patience, is_exact, draws = 1, False, True

    def __init__(self, now: list[float]) -> None:
        self._now = now

    def begin(self) -> None:
        pass

    def rest(self) -> None:
        pass

    def warm_up(self, work: Callable[[], Any]) -> Any:
        return work()

    def record(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        def replay() -> None:
            self._now[0] += 5

        return work(), replay


def test_replays_count_as_steps(now: list[float]) -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], 0.1)
    player: Player[Tensor] = Player(
        "one", [weight], lambda batch: (weight * batch).sum(), optimizer, UnrolledStep(0.0)
    )
    captured = Captured(Bilevel([player], []), SlowReplays(now))
    clock = measure_run.Clock(lambda: now[0])
    with measure_run.clocked(clock), clock.within("loop"):
        for _ in range(4):
            captured.update_weights(torch.ones(1))
    assert dict(clock.seconds) == {"loop": 0, "steps": 10}


def test_tables_hold_medians_and_the_share_of_faster_steps() -> None:
    """Steps 80 of 100 s: a fifth is not theirs, of 80 / 3 and 20 s 3/7."""
    runs = [
        measure_run.Measured(
            {measure_run.STEPS: steps, measure_run.LOOP: 20.0, "start: data": 2.0},
            {measure_run.LOOP: 3, measure_run.STEPS: 48},
            waited,
            24,
            [9.0, 5.25],
            {10: 300.0},
        )
        for steps, waited in ((80.0, 3.0), (1.0, 9.0), (500.0, 2.0))
    ]
    told = "\n".join(measure_run.report(runs))
    assert "| steps | 48 | 0.500 | 80.00 | 80.00% |" in told
    assert "| loop | 3 | 2.000 | 20.00 | 20.00% |" in told
    assert "All but steps: 20.00%" in told
    assert "three times as fast: 42.86%" in told
    assert "| start: data | 2.00 |" in told
    assert "after 3.0 s" in told
    assert "Steps took 9.00 s, 5.25 s (the first, the second)" in told
    assert "| 10 | 300.0 |" in told
