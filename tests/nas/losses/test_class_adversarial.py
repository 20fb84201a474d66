"""The losses against the probabilities of the softmax, in float64, and in closed form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nas.losses.class_adversarial import (
    classification_loss,
    generator_loss,
    realness,
    unmasking_loss,
)


def random_logits(classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(classes)
    return 3 * torch.randn(7, classes + 1, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_losses_are_the_equations(classes: int) -> None:
    logits = random_logits(classes)
    truth = torch.arange(7) % classes
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    real = 1 - p[:, -1]
    given_real = p[torch.arange(7), truth] / real
    torch.testing.assert_close(classification_loss(logits, truth), -given_real.log().mean())
    torch.testing.assert_close(unmasking_loss(logits), -p[:, -1].log().mean())
    torch.testing.assert_close(generator_loss(logits), -real.log().mean())
    torch.testing.assert_close(realness(logits), (real / p[:, -1]).log())


def test_classification_says_nothing_about_fake() -> None:
    logits = random_logits(3).requires_grad_()
    (slope,) = torch.autograd.grad(classification_loss(logits, torch.arange(7) % 3), logits)
    assert (slope[:, -1] == 0).all()
    assert (slope[:, :-1] != 0).all()


def test_network_and_generator_want_opposites() -> None:
    logits = random_logits(2).requires_grad_()
    (unmasking,) = torch.autograd.grad(unmasking_loss(logits), logits)
    (fooling,) = torch.autograd.grad(generator_loss(logits), logits)
    assert (unmasking[:, -1] < 0).all()
    assert (fooling[:, -1] > 0).all()
    assert (unmasking[:, :-1] > 0).all()
    assert (fooling[:, :-1] < 0).all()


@pytest.mark.parametrize(("loss", "fake"), [(unmasking_loss, -900.0), (generator_loss, 900.0)])
def test_certain_verdicts_stay_finite(loss: Callable[[Tensor], Tensor], fake: float) -> None:
    logits = torch.tensor([[0.0, 0.0, fake]], requires_grad=True)
    value = loss(logits)
    assert value.item() == pytest.approx(900, abs=1)
    (slope,) = torch.autograd.grad(value, logits)
    assert slope.abs().tolist()[0] == pytest.approx([0.5, 0.5, 1.0])
    assert loss(-logits * torch.tensor([0.0, 0.0, 1.0])).item() == 0.0


def test_half_precision_is_left_before_the_sums() -> None:
    logits = random_logits(2)
    half = logits.bfloat16()
    for loss in (unmasking_loss, generator_loss):
        assert loss(half).dtype == torch.float32
        torch.testing.assert_close(loss(half), loss(half.double()).float())
    truth = torch.arange(7) % 2
    assert classification_loss(half, truth).dtype == torch.float32


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 3, 1, 1)])
def test_refuses_logits_of_another_shape(shape: tuple[int, ...]) -> None:
    for loss in (unmasking_loss, generator_loss):
        with pytest.raises(ValueError, match=r"logits \(N, K \+ 1\)"):
            loss(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"logits \(N, K \+ 1\)"):
        classification_loss(torch.zeros(shape), torch.zeros(3, dtype=torch.int64))
