"""The measurement of choices runs, each is one deviation, and equal mathematics measures equal."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nas.deviations import deviations

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/measure_choices.py"
sys.path.insert(0, str(TOOL.parent))
SPECIFICATION = importlib.util.spec_from_file_location("measure_choices", TOOL)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
measure_choices = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["measure_choices"] = measure_choices
SPECIFICATION.loader.exec_module(measure_choices)
sys.path.remove(str(TOOL.parent))


@pytest.mark.slow
def test_a_quick_run_prints_the_table() -> None:
    command = [sys.executable, str(TOOL), "--quick", "--device", "cpu"]
    told = subprocess.run(
        [*command, "--choices", "first-order", "recompute", "joint"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    assert "--quick" in told.splitlines()[0]
    rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("| ")]
    assert rows[0] == ["choice", "option", "time", "memory", "alpha's gradient, noise"]
    figures = {row[0]: row[1:] for row in rows[1:]}
    assert list(figures) == ["default", "first-order", "recompute", "joint"]
    assert figures["default"][1:3] == ["1.00", "1.00"]
    for option, time, memory, _ in figures.values():
        assert option
        assert 0 < float(time) < 100
        assert 0 < float(memory) < 100
    for name in ("default", "recompute", "joint"):
        assert figures[name][3] == "1.0000, 1"
    assert figures["first-order"][3] != "1.0000, 1"


@pytest.mark.parametrize("name", measure_choices.CHOICES)
def test_each_choice_is_one_deviation(name: str) -> None:
    arguments = measure_choices.parse(["--quick"])
    found = deviations(measure_choices.settings_of(name, arguments))
    assert len(found) == (name != measure_choices.DEFAULT)


def test_gradients_are_compared_by_angle_and_length() -> None:
    one = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]
    other = [torch.tensor([6.0, 0.0]), torch.tensor([8.0])]
    across = [torch.tensor([4.0, 0.0]), torch.tensor([-3.0])]
    assert measure_choices.compared(other, one) == "1.0000, 2"
    assert measure_choices.compared(across, one) == "0.0000, 1"
    mean = measure_choices.mean_of([one, across])
    assert [part.tolist() for part in mean] == [[3.5, 0.0], [0.5]]
