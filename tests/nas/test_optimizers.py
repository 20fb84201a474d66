"""Optimisers by settings, against their formulas and by what they dispatch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from nas.optimizers import architecture_optimizer, unrolled_step, weight_optimizer
from nas.settings import ArchitectureSettings, TrainingSettings

RATE = 0.1
ADAM = TrainingSettings(optimizer="adam", adam_beta1=0.7, weight_decay=0.2)
SGD = TrainingSettings(optimizer="sgd", sgd_momentum=0.6, weight_decay=0.2)


class Dispatched(TorchDispatchMode):
    """Names of the operations in its context that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def _weights() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(size, dtype=torch.float64)) for size in (3, 5)]


def _slope(step: int, weight: torch.Tensor) -> torch.Tensor:
    return torch.sin(weight.detach() + step)


def _take(optimizer: Optimizer, weights: list[nn.Parameter], steps: int) -> None:
    for step in range(steps):
        for weight in weights:
            weight.grad = _slope(step, weight)
        optimizer.step()


def _adam(weight: torch.Tensor, steps: int, beta1: float, decay: float, rate: float) -> Any:
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for step in range(steps):
        slope = _slope(step, weight) + decay * weight
        mean = beta1 * mean + (1 - beta1) * slope
        square = 0.999 * square + 0.001 * slope**2
        unbiased = mean / (1 - beta1 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        weight = weight - rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
    return weight


def _close(found: list[nn.Parameter], expected: list[torch.Tensor]) -> None:
    torch.testing.assert_close([each.detach() for each in found], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("capturable", [False, True])
def test_adam_of_the_weights(capturable: bool) -> None:
    weights = _weights()
    expected = [_adam(each.detach(), 4, 0.7, 0.2, RATE) for each in weights]
    _take(weight_optimizer(ADAM, weights, RATE, capturable), weights, 4)
    _close(weights, expected)


def test_adam_of_alpha() -> None:
    settings = ArchitectureSettings(architecture_lr=RATE, architecture_decay=0.3)
    alphas = _weights()
    expected = [_adam(each.detach(), 4, 0.5, 0.3, RATE) for each in alphas]
    _take(architecture_optimizer(settings, alphas), alphas, 4)
    _close(alphas, expected)


def test_sgd_steps_as_it_is_unrolled() -> None:
    weights = _weights()
    optimizer = weight_optimizer(SGD, weights, RATE)
    _take(optimizer, weights, 3)
    slopes = [_slope(3, each) for each in weights]
    moves = unrolled_step(SGD, None).displacement(weights, slopes, optimizer)
    expected = [each.detach() + move for each, move in zip(weights, moves, strict=True)]
    for weight, slope in zip(weights, slopes, strict=True):
        weight.grad = slope
    optimizer.step()
    _close(weights, expected)


def _kernels(optimizer: Optimizer) -> set[str]:
    """What a step dispatches to change weights, but counts of steps."""
    with Dispatched() as dispatched:
        optimizer.step()
    return {name for name in dispatched.names if name.endswith("_")} - {"_foreach_add_"}


@pytest.mark.parametrize(
    ("settings", "kernel"), [(ADAM, "_fused_adam_"), (SGD, "_fused_sgd_")], ids=["adam", "sgd"]
)
def test_a_step_moves_all_weights_in_one_kernel(settings: TrainingSettings, kernel: str) -> None:
    weights = _weights()
    optimizer = weight_optimizer(settings, weights, RATE)
    _take(optimizer, weights, 1)
    assert _kernels(optimizer) == {kernel}


def test_a_step_of_alpha_moves_all_in_one_kernel() -> None:
    alphas = _weights()
    optimizer = architecture_optimizer(ArchitectureSettings(), alphas)
    _take(optimizer, alphas, 1)
    assert _kernels(optimizer) == {"_fused_adam_"}
