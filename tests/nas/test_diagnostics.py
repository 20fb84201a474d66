"""The diagnosis of the second-order term, on a problem whose products are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD

from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.diagnostics import second_order_diagnosis
from nas.products import finite_difference


def engine(rate: float) -> Bilevel[None]:
    alpha = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    weight = nn.Parameter(torch.tensor([3.0, -1.0], dtype=torch.float64))
    player = Player[None](
        "weights",
        [weight],
        lambda _: (alpha * weight**2).sum() / 2,
        SGD([weight], lr=0.1),
        UnrolledStep(rate),
        finite_difference(),
    )
    group = Group[None]("alpha", [alpha], lambda _: (alpha + weight).sum(), SGD([alpha], lr=0.1))
    return Bilevel([player], [group])


def test_share_and_cosine_on_a_quadratic() -> None:
    """Direct term (1, 1); product d_alpha (alpha w v) = w v with v = (1, 1); both rules agree."""
    problem = engine(rate=0.5)
    found = second_order_diagnosis(problem, problem.groups[0], None, None, radius=1e-2)
    second = 0.5 * torch.tensor([3.0, -1.0]).norm()
    direct = torch.tensor([1.0, 1.0]).norm()
    assert found["cosine_weights"] == pytest.approx(1.0, abs=1e-9)
    assert found["second_order_share"] == pytest.approx(float(second / (direct + second)))


def test_nothing_to_say_where_there_is_no_second_order_term() -> None:
    problem = engine(rate=0.0)
    assert second_order_diagnosis(problem, problem.groups[0], None, None, 1e-2) == {}


def test_the_diagnosis_leaves_no_trace() -> None:
    problem = engine(rate=0.5)
    before = problem.players[0].weights[0].detach().clone()
    second_order_diagnosis(problem, problem.groups[0], None, None, radius=1e-2)
    assert torch.equal(before, problem.players[0].weights[0])


def test_cosine_tells_a_kink_between_the_points_of_the_finite_difference() -> None:
    """L = a1 relu(w1) + a2 w2 at w = (0.5, 0), v along (1, 1): exact product (1, 1).

    With radius 2 sqrt(2) the points are w +- (2, 2), and relu gives (2.5 - 0) / 4 for the first.
    """
    alpha = nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    weight = nn.Parameter(torch.tensor([0.5, 0.0], dtype=torch.float64))
    player = Player[None](
        "weights",
        [weight],
        lambda _: alpha[0] * weight[0].relu() + alpha[1] * weight[1],
        SGD([weight], lr=0.1),
        UnrolledStep(1e-9),
        finite_difference(),
    )
    group = Group[None]("alpha", [alpha], lambda _: weight.sum(), SGD([alpha], lr=0.1))
    found = second_order_diagnosis(Bilevel([player], [group]), group, None, None, radius=8**0.5)
    expected = torch.nn.functional.cosine_similarity(
        torch.tensor([2.5 / 4, 1.0]), torch.tensor([1.0, 1.0]), dim=0
    )
    assert found["cosine_weights"] == pytest.approx(float(expected), abs=1e-6)
    assert found["second_order_share"] == pytest.approx(1.0)
