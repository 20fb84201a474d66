"""The adversarial losses against torch's binary cross-entropy and against Eq. 1 and 2."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from nas.losses.adversarial import discrimination_loss, fooling_loss

LOGITS = st.lists(st.floats(-30, 30), min_size=1, max_size=6)


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
