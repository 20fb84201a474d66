"""What tensors hold is followed to the byte."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

SPECIFICATION = importlib.util.spec_from_file_location(
    "live_memory", Path(__file__).parents[2] / "tools/live_memory.py"
)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
live_memory = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(live_memory)


def test_storages_count_once_and_as_long_as_they_are_held() -> None:
    before = torch.ones(1000)
    with live_memory.LiveMemory() as memory:
        x = torch.ones(100)  # 400 bytes
        view = x.view(10, 10)[2:]
        assert memory.present == 400
        del x
        assert memory.present == 400
        y = before * 2  # 4,000 bytes more
        y.add_(1)
        assert memory.present == 4400
        del view
        assert memory.present == 4000
        del y
        before.view(10, 100)
        torch.zeros(10)
    assert (memory.present, memory.peak) == (0, 4400)
    assert memory.largest == "aten::mul.Tensor"


def test_what_autograd_keeps_counts_until_the_gradient_is_taken() -> None:
    x = torch.ones(250, requires_grad=True)
    with live_memory.LiveMemory() as memory:
        y = (x * 2).sin().sum()  # the argument of the sine is kept, the sine is not
        assert memory.present == 1000 + 4
        torch.autograd.grad(y, x)
        assert memory.present == 4
