"""What parts took, over stops and kills."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from nas.comparison.costs import measured, read_cost


def test_a_part_is_measured_though_it_fails(tmp_path: Path) -> None:
    with measured(tmp_path, "search"):
        time.sleep(0.05)
    with pytest.raises(KeyboardInterrupt), measured(tmp_path, "retrain"):
        sum(range(200_000))
        raise KeyboardInterrupt
    cost = read_cost(tmp_path)
    assert cost is not None
    assert cost.complete
    assert cost.seconds >= cost.search_seconds >= 0.05
    assert 0 <= cost.search_process_seconds < 0.05
    assert cost.process_seconds > cost.search_process_seconds
    assert cost.peak_memory is None or cost.peak_memory > 10**7


def test_parts_add_up_and_a_killed_one_is_known(tmp_path: Path) -> None:
    lines = [
        {"part": "search", "ended": False},
        {"part": "search", "ended": True, "seconds": 3, "process_seconds": 2, "peak_memory": 9},
        {"part": "retrain", "ended": False},
        {"part": "retrain", "ended": False},
        {"part": "retrain", "ended": True, "seconds": 5, "process_seconds": 4, "peak_memory": 7},
    ]
    path = tmp_path / "cost.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"part": "retr')
    cost = read_cost(tmp_path)
    assert cost is not None
    assert (cost.seconds, cost.process_seconds) == (8, 6)
    assert (cost.search_seconds, cost.search_process_seconds) == (3, 2)
    assert (cost.peak_memory, cost.complete) == (9, False)


def test_nothing_noted_is_not_nothing_taken(tmp_path: Path) -> None:
    assert read_cost(tmp_path) is None
