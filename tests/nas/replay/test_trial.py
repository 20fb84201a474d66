"""A replay that does something else is found out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nas.replay.trial import OtherResultError, tried


def state() -> dict[str, list[Tensor]]:
    torch.manual_seed(0)
    return {"weights": [torch.randn(4, 3), torch.randn(5)], "steps": [torch.tensor(7)]}


def move(tensors: dict[str, list[Tensor]], factor: float) -> None:
    for each in tensors["weights"]:
        each.add_(each, alpha=factor)
    tensors["steps"][0].add_(1)


def test_the_state_is_what_the_work_makes_of_it() -> None:
    own, expected = state(), state()
    move(expected, 0.5)
    assert tried(lambda: move(own, 0.5), lambda: move(own, 0.5) or "done", own) == "done"
    for kind, tensors in own.items():
        assert all(map(torch.equal, tensors, expected[kind]))


@pytest.mark.parametrize("factor", [0.49, -2.5])
def test_other_sizes_and_signs_are_refused(factor: float) -> None:
    own = state()
    with pytest.raises(OtherResultError, match="other weights"):
        tried(lambda: move(own, factor), lambda: move(own, 0.5), own)


def test_one_tensor_of_many_is_enough() -> None:
    own = state()
    with pytest.raises(OtherResultError, match="other steps"):
        tried(lambda: None, lambda: own["steps"][0].add_(1), own)


def test_rounding_and_noise_are_none() -> None:
    own = {"moments": [torch.ones(3), torch.full((3,), 1e-9)]}

    def replay() -> None:
        own["moments"][0].mul_(1 + 1e-5)
        own["moments"][1].mul_(-3)

    tried(replay, lambda: None, own)


def test_work_takes_gradients() -> None:
    weight = torch.ones(2, requires_grad=True)
    (slope,) = tried(
        lambda: None, lambda: torch.autograd.grad((weight**2).sum(), [weight]), {"w": [weight]}
    )
    assert torch.equal(slope, torch.full((2,), 2.0))
