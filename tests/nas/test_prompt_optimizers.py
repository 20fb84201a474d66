"""The optimisers against torch's own, bit for bit, and what they leave unimported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from nas import prompt_optimizers

KINDS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.999), "weight_decay": 1e-2}),
]


def trained(optimizer: type[Optimizer], options: dict[str, Any]) -> tuple[list[Any], Any]:
    """Weights after five steps, the last two of a restored optimiser, and its state."""
    generator = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.zeros(4))]
    stepping = optimizer(weights, **options)
    schedule = StepLR(stepping, step_size=2)
    for step in range(5):
        if step == 3:
            state = stepping.state_dict()
            stepping = optimizer(weights, **options)
            stepping.load_state_dict(state)
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        stepping.step()
        stepping.zero_grad(set_to_none=True)
        if step < 3:
            schedule.step()
    assert all(weight.requires_grad and weight.grad is None for weight in weights)
    return [weight.tolist() for weight in weights], str(stepping.state_dict())


@pytest.mark.parametrize(("name", "options"), KINDS)
def test_steps_and_states_are_those_of_torch(name: str, options: dict[str, Any]) -> None:
    ours = trained(getattr(prompt_optimizers, name), options)
    assert ours == trained(getattr(optim, name), options)


SCRIPT = """
import sys
import torch
from torch import nn
from nas.prompt_optimizers import SGD, Adam
weight = nn.Parameter(torch.ones(3))
for optimizer in (SGD([weight], 0.1, momentum=0.9), Adam([weight], 0.1)):
    weight.grad = torch.ones(3)
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
print([name for name in sys.modules if name in ("torch._dynamo", "sympy")])
"""


def test_the_compiler_is_not_imported() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr
