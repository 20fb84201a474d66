"""Two processes with half a batch each must do what one does with all of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import processes  # noqa: E402
import steps  # noqa: E402

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What steps.py finds, by the number of processes."""
    folder = tmp_path_factory.mktemp("steps")
    results = {}
    for count in (2, 3):
        path = folder / str(count)
        ends = processes.finish(processes.start([str(HERE / "steps.py"), str(path)], count))
        assert [code for code, _, _ in ends] == [0] * count, ends
        results[count] = torch.load(path)
    return results


@pytest.mark.parametrize("name", steps.CASES)
def test_two_processes_take_the_steps_of_one(
    found: dict[int, dict[str, Any]], name: str
) -> None:
    alone = steps.run(*steps.CASES[name])
    assert alone.keys() == found[2][name].keys()
    for key, value in alone.items():
        torch.testing.assert_close(
            found[2][name][key], value, rtol=1e-10, atol=1e-10, msg=lambda text: f"{key}: {text}"
        )
