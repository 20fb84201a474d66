"""The adversarial losses against torch's cross-entropy, the equations, and their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from nas.losses.adversarial import ADVERSARIAL_LOSSES, discrimination_loss, fooling_loss

LOGITS = st.lists(st.floats(-30, 30), min_size=1, max_size=6)
EVERY = pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)


@given(real=LOGITS, fake=LOGITS)
@settings(max_examples=50, deadline=None)
def test_losses_are_cross_entropies_of_the_verdicts(real: list[float], fake: list[float]) -> None:
    truth, forgery = torch.tensor(real).double()[:, None], torch.tensor(fake).double()[:, None]
    expected = bce(truth, torch.ones_like(truth)) + bce(forgery, torch.zeros_like(forgery))
    assert torch.allclose(discrimination_loss(truth, forgery), expected)
    assert torch.allclose(fooling_loss(forgery), bce(forgery, torch.ones_like(forgery)))


def test_losses_are_the_equations() -> None:
    real, fake = torch.tensor([[0.3], [-1.2]]), torch.tensor([[2.0], [0.1]])
    g_real, g_fake = real.sigmoid(), fake.sigmoid()
    expected = (-g_real.log()).mean() + (-(1 - g_fake).log()).mean()
    assert torch.allclose(discrimination_loss(real, fake), expected)
    assert torch.allclose(fooling_loss(fake), (-g_fake.log()).mean())


def test_losses_stay_finite_where_the_probability_is_zero_in_floating_point() -> None:
    assert float(fooling_loss(torch.tensor([[-1e4]]))) == 1e4
    assert float(discrimination_loss(torch.tensor([[-1e4]]), torch.tensor([[1e4]]))) == 2e4


def by_definition(name: str, real: list[float], fake: list[float]) -> tuple[float, float]:
    """What discriminator and segmenter pay, written out number by number."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    if name == "hinge":
        first = mean([max(0.0, 1 - v) for v in real]) + mean([max(0.0, 1 + v) for v in fake])
        return first, mean([-v for v in fake])
    first = mean([(v - 1) ** 2 for v in real]) / 2 + mean([v**2 for v in fake]) / 2
    return first, mean([(v - 1) ** 2 for v in fake]) / 2


@pytest.mark.parametrize("name", ["hinge", "least-squares"])
@given(real=LOGITS, fake=LOGITS)
@settings(max_examples=25, deadline=None)
def test_hinge_and_least_squares_are_their_definitions(
    name: str, real: list[float], fake: list[float]
) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    discriminator, segmenter = by_definition(name, real, fake)
    truths, forgeries = (torch.tensor(each, dtype=torch.float64) for each in (real, fake))
    assert float(loss.discrimination(truths, forgeries)) == pytest.approx(discriminator, abs=1e-9)
    assert float(loss.fooling(forgeries)) == pytest.approx(segmenter, abs=1e-9)


def test_the_non_saturating_loss_of_the_table_is_that_of_the_functions() -> None:
    loss = ADVERSARIAL_LOSSES["non-saturating"]
    real, fake = torch.randn(3, 1), torch.randn(2, 1, 4, 5)
    assert torch.equal(loss.discrimination(real, fake), discrimination_loss(real, fake))
    assert torch.equal(loss.fooling(fake), fooling_loss(fake))


def test_the_table_has_the_names_of_the_losses() -> None:
    assert {name: loss.name for name, loss in ADVERSARIAL_LOSSES.items()} == {
        name: name for name in ("non-saturating", "hinge", "least-squares")
    }


@EVERY
def test_verdicts_on_images_patches_and_pixels_weigh_the_same(name: str) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    real, fake = torch.randn(2, 1).double(), torch.randn(2, 1).double()

    def spread(verdicts: Tensor) -> Tensor:
        return verdicts[:, :, None, None].expand(2, 1, 7, 3)

    assert torch.allclose(
        loss.discrimination(real, fake), loss.discrimination(*map(spread, (real, fake)))
    )
    assert torch.allclose(loss.fooling(fake), loss.fooling(spread(fake)))


@EVERY
def test_above_its_threshold_a_verdict_is_cheaper_as_real(name: str) -> None:
    """At the threshold a verdict costs the same on either side; above it, less on a real map."""
    loss = ADVERSARIAL_LOSSES[name]
    at = torch.tensor(loss.threshold).double()
    assert float(loss.real(at)) == pytest.approx(float(loss.fake(at)))
    assert loss.real(at + 0.1) < loss.fake(at + 0.1)
    assert loss.real(at - 0.1) > loss.fake(at - 0.1)


@EVERY
def test_the_players_pull_verdicts_apart_and_together(name: str) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    real, fake = (torch.full((4, 1), loss.threshold, requires_grad=True) for _ in range(2))
    on_real, on_fake = torch.autograd.grad(loss.discrimination(real, fake), [real, fake])
    (fooling,) = torch.autograd.grad(loss.fooling(fake), fake)
    assert (on_real < 0).all()
    assert (on_fake > 0).all()
    assert (fooling < 0).all()
