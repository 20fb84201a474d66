"""Schedules that can be worked out by hand."""

from __future__ import annotations

import importlib.util
import math
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "tools" / "simulate_schedule.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate_schedule", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate_schedule"] = module
    spec.loader.exec_module(module)
    return module


tool = load()


class Planned:
    """Times between failures that the test has chosen, then none."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)

    def expovariate(self, rate: float) -> float:
        return self.times.pop(0) if self.times else 1e9


def simulate(minutes: list[float], failures: Planned | None = None, **given: Any) -> Any:
    if failures is not None:
        given.setdefault("lost_every", 60.0)
    assumptions = tool.Assumptions(**{"nodes": 1, "slots": 1, **given})
    return tool.Simulation(assumptions, [tool.Cell(each) for each in minutes], failures).run()


def test_one_cell_takes_its_time_and_leaves_the_rest_idle() -> None:
    assert simulate([10], nodes=2, slots=2, start=1) == (11, 0.75, 0, 0, 0)


def test_two_slots_take_cells_in_order() -> None:
    """3 | 5 then 4 after the 3: ends at 3, 5, 7; then 2 at 5 on the other: 7. Busy 14 of 14."""
    assert simulate([3, 5, 4, 2], nodes=2) == (7, 0, 0, 0, 0)
    makespan, idle, *_ = simulate([3, 5, 4, 3], nodes=2)
    assert makespan == 8
    assert idle == pytest.approx(1 / 16)


def test_a_lost_cell_begins_anew_before_those_that_wait() -> None:
    """0-4 lost, repaired at 6, 6-16 the first, 16-19 the second; idle is 0 while it was up."""
    assert simulate([10, 3], Planned(4), repair=2) == (19, 0, 1, 4, 0)


def test_with_checkpoints_it_goes_on() -> None:
    """0.5 to start, 4 worked, of which 3 are saved (every 1.5); then 0.5 and 7 more."""
    found = simulate([10], Planned(4.5), repair=2, start=0.5, checkpoint=1.5)
    assert found == (4.5 + 2 + 0.5 + 7, 0, 1, 1, 0)


def test_a_loss_while_starting_repeats_nothing_saved() -> None:
    """3 saved and 1 lost at the first; the second failure comes during the start."""
    found = simulate([10], Planned(4.5, 0.2), repair=2, start=0.5, checkpoint=1.5)
    assert found == (4.5 + 2 + 0.2 + 2 + 0.5 + 7, 0, 2, 1, 0)


def test_another_node_takes_the_lost_cell_when_it_is_free() -> None:
    """Nodes: 10 and 6. The first fails at 2; at 6 the other is free and does the 10: 16.
    It could have begun at 5 on the repaired node, and does: 5 + 10 = 15 with repair 3."""
    assert simulate([10, 6], Planned(2, 1e9), nodes=2, repair=100).makespan == 16
    assert simulate([10, 6], Planned(2, 1e9), nodes=2, repair=3).makespan == 15


def test_a_cell_that_is_lost_too_often_is_given_up() -> None:
    """Losses at 1, 3 and 5 (each 1 after the repair); the third is one too many; then the other."""
    found = simulate([10, 2], Planned(1, 1, 1), repair=1, losses=2)
    assert found == (8, 0, 2, 3, 1)


def test_all_slots_of_a_node_are_lost_together() -> None:
    """All three at 5 with nobody to take them; back at 10, all three again."""
    assert simulate([8, 8, 8], Planned(5), slots=3, repair=5) == (18, 0, 3, 15, 0)


def test_durations_have_their_mean_and_spread() -> None:
    minutes = [cell.minutes for cell in tool.draw(40000, 20.0, 0.5, random.Random(0))]
    assert statistics.mean(minutes) == pytest.approx(20, rel=0.01)
    assert statistics.stdev(minutes) == pytest.approx(10, rel=0.03)


def test_bounds_hold_for_a_thousand_cells() -> None:
    """No schedule beats the mean load; with this rule none exceeds it by more than one cell."""
    cells = tool.draw(1000, 20.0, 0.5, random.Random(1))
    minutes = [cell.minutes for cell in cells]
    found = tool.Simulation(tool.Assumptions(16, 4), cells, random.Random(2)).run()
    assert sum(minutes) / 64 <= found.makespan <= sum(minutes) / 64 + max(minutes)
    assert found.idle == pytest.approx(1 - sum(minutes) / 64 / found.makespan)


def test_losses_are_as_frequent_as_said() -> None:
    """Of slots that are always busy, failures of nodes take what runs: about up-time over mean."""
    cells = tool.draw(4000, 20.0, 0.5, random.Random(1))
    lost = tool.Assumptions(16, 1, lost_every=500.0, repair=10.0, losses=1000)
    found = tool.Simulation(lost, cells, random.Random(2)).run()
    expected = (4000 * 20 + found.repeated) / 500
    assert abs(found.retries - expected) < 4 * math.sqrt(expected)


def test_the_command_prints_a_table() -> None:
    command = [sys.executable, str(PATH), "--cells", "1", "8", "--nodes", "2", "--spread", "0"]
    done = subprocess.run(
        [*command, "--slots", "2", "--start", "0", "--repeats", "2"],
        env={**os.environ, "PYTHONPATH": str(PATH.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [
        [part.strip() for part in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]
    ]
    assert rows[0] == ["1", "0.33", "0.33", "75.0%", "0.0", "0.00", "0.0"]
    assert rows[1] == ["8", "0.67", "0.67", "0.0%", "0.0", "0.00", "0.0"]
