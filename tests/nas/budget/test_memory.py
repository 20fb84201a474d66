"""Peaks of memory, of a process that is told how much to take."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from nas.budget.memory import peak_bytes, present_bytes

PROGRAM = """
import torch
from nas.budget.memory import peak_bytes, present_bytes
cpu = torch.device("cpu")
before, first = present_bytes(cpu), peak_bytes(cpu)
taken = torch.ones(100_000_000 // 4)
held = present_bytes(cpu)
del taken
print(before, first, held, present_bytes(cpu), peak_bytes(cpu))
"""


def test_the_peak_is_that_of_the_process_alone_and_stays() -> None:
    hidden = bytearray(300_000_000)
    hidden[:] = b"1" * len(hidden)
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    before, first, held, after, peak = map(int, ended.stdout.split())
    mega = 1_000_000
    assert held - before == pytest.approx(100 * mega, abs=10 * mega)
    assert after == pytest.approx(before, abs=10 * mega)
    assert peak - before == pytest.approx(100 * mega, abs=10 * mega)
    assert before <= first <= before + 150 * mega


def test_graphs_of_a_gpu_count_with_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their memory is reserved, and no tensor's between replays."""
    device = torch.device("cuda")
    monkeypatch.setattr("torch.cuda.memory_reserved", {device: 5}.__getitem__)
    monkeypatch.setattr("torch.cuda.max_memory_reserved", {device: 7}.__getitem__)
    assert (present_bytes(device), peak_bytes(device)) == (5, 7)
