"""A recording does again what it has seen, and refuses what a CUDA graph cannot hold."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

SPECIFICATION = importlib.util.spec_from_file_location(
    "recorded_step", Path(__file__).parents[2] / "tools/recorded_step.py"
)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
recorded_step = importlib.util.module_from_spec(SPECIFICATION)
sys.modules["recorded_step"] = recorded_step
SPECIFICATION.loader.exec_module(recorded_step)


def test_a_replay_is_the_work_on_other_values() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(2))
    optimizer = SGD(network.parameters(), 0.5)
    x = torch.randn(2, 1, 6, 6)

    def work() -> Tensor:
        loss = network(x).square().mean()
        for weight, slope in zip(
            network.parameters(),
            torch.autograd.grad(loss, list(network.parameters())),
            strict=True,
        ):
            weight.grad = slope
        optimizer.step()
        return loss.detach()

    begin = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = [torch.randn_like(x) for _ in range(4)]
    losses, states = [], []
    for each in inputs:
        x.copy_(each)
        losses.append(work().clone())
        states.append({name: value.clone() for name, value in network.state_dict().items()})
    network.load_state_dict(begin)
    recordings = recorded_step.Recordings()
    x.copy_(inputs[0])
    loss, replay = recordings.record(work)
    for each, truth, state in zip(inputs, losses, states, strict=True):
        x.copy_(each)
        replay()
        assert torch.equal(loss, truth)
        for name, value in network.state_dict().items():
            assert torch.equal(value, state[name]), name


def test_launches_are_operations_that_compute() -> None:
    x = torch.rand(4, 6)
    with recorded_step.Launches() as none:
        x.view(2, 12)[0].unsqueeze(1).expand(12, 3).transpose(0, 1)
        torch.empty_like(x)
        x.reshape(24).detach()
    assert none.counts.total() == 0
    with recorded_step.Launches() as some:
        y = (x + 1).mul_(2)
        torch.mm(x, y.t(), out=torch.empty(4, 4))
        torch._foreach_mul_([x, y], 2.0)
        x.t().contiguous()
    assert some.counts == {
        "aten::add.Tensor": 1,
        "aten::mul_.Tensor": 1,
        "aten::mm.out": 1,
        "aten::_foreach_mul_.Scalar": 1,
        "aten::clone": 1,
    }


X = torch.rand(3, 4)


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (lambda: X.sum().item(), "reads values"),
        (lambda: bool((X > 0).all()), "reads values"),
        (lambda: X[X > 0.5], "reads values"),
        (lambda: X.nonzero(), "reads values"),
        (lambda: functional.one_hot(torch.arange(3) * 1, 3), "reads values"),
        (lambda: torch.rand(2), "draws random"),
        (lambda: functional.dropout(X), "draws random"),
        (lambda: X * torch.tensor(2.0), "from the host"),
    ],
)
def test_what_a_graph_cannot_hold_is_refused(work: Callable[[], object], why: str) -> None:
    with pytest.raises(recorded_step.CannotBeCapturedError, match=why):
        recorded_step.Recordings().record(work)
