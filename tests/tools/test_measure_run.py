"""Times by part, on a clock that is set by hand; the tables that are printed of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/measure_run.py"
SPECIFICATION = importlib.util.spec_from_file_location("measure_run", TOOL)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
measure_run = sys.modules["measure_run"] = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(measure_run)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock of the process shows."""
    shown = [0.0]
    monkeypatch.setattr("measure_run.time.process_time", lambda: shown[0])
    return shown


def test_a_part_within_another_counts_for_itself_alone(now: list[float]) -> None:
    clock = measure_run.Clock()

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


def test_the_first_step_ends_the_start(now: list[float]) -> None:
    clock = measure_run.Clock()
    step = clock.counted(lambda: now.append(now.pop() + 5), memory_every=2)
    now[0] = 7
    for _ in range(4):
        step()
    assert clock.steps == 4
    assert clock.first_step is not None and clock.first_step[0] == 7
    assert list(clock.memory) == [2, 4]


def test_tables_hold_medians_and_the_share_of_faster_steps() -> None:
    """Steps 80 of 100 s: a fifth is not theirs, of 80 / 3 and 20 s 3/7."""
    runs = [
        measure_run.Measured(
            {measure_run.STEPS: steps, measure_run.LOOP: 20.0, "start: data": 2.0},
            waited,
            24,
            {10: 300.0},
        )
        for steps, waited in ((80.0, 3.0), (1.0, 9.0), (500.0, 2.0))
    ]
    told = "\n".join(measure_run.report(runs))
    assert "| steps | 80.00 | 80.00% |" in told
    assert "| loop | 20.00 | 20.00% |" in told
    assert "All but steps: 20.00%" in told
    assert "three times as fast: 42.86%" in told
    assert "| start: data | 2.00 | 100.00% |" in told
    assert "after 3.0 s" in told
    assert "| 10 | 300.0 |" in told
