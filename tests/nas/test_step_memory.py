"""A step holds no more than it needs: counted to the byte, on any machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from nas.products import finite_difference
from nas.traceless import moved

SPECIFICATION = importlib.util.spec_from_file_location(
    "live_memory", Path(__file__).parents[2] / "tools/live_memory.py"
)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
live_memory = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(live_memory)

COUNT, BYTES = 10, 4 * 500
"""Ten weights of 2,000 bytes each."""


def new_weights() -> list[Tensor]:
    return [torch.rand(500, requires_grad=True) for _ in range(COUNT)]


def test_moved_weights_are_held_twice() -> None:
    weights = new_weights()
    with live_memory.LiveMemory() as memory:
        with moved(weights, (2 * weight.detach() for weight in weights)):
            assert memory.present == COUNT * BYTES
        assert memory.peak <= (COUNT + 1) * BYTES
        with moved(weights, [2 * weight.detach() for weight in weights]):
            assert memory.present == COUNT * BYTES
    assert memory.present == 0


def test_a_finite_difference_holds_the_weights_once_more() -> None:
    weights, vector = new_weights(), [torch.rand(500) for _ in range(COUNT)]
    alpha = torch.ones(1, requires_grad=True)

    def loss() -> Tensor:
        return alpha.prod() * torch.stack([weight[0] for weight in weights]).sum()

    product = finite_difference()
    with live_memory.LiveMemory() as memory:
        product(loss, weights, vector, [alpha])
    assert COUNT * BYTES < memory.peak < (COUNT + 2) * BYTES
