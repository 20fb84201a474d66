"""The diagnosis of the second-order term, on a problem whose products are known."""

from __future__ import annotations

from dataclasses import replace

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


def flat_engine(slope: float, objective_slope: float) -> Bilevel[None]:
    """L = slope a w and J = a + objective_slope w: direct term 1, product slope v."""
    alpha = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    weight = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    player = Player[None](
        "weights", [weight], lambda _: slope * alpha * weight, SGD([weight]), UnrolledStep(0.5)
    )
    group = Group[None](
        "alpha", [alpha], lambda _: alpha + objective_slope * weight, SGD([alpha], lr=0.1)
    )
    return Bilevel([player], [group])


@pytest.mark.parametrize(("slope", "objective_slope"), [(0.0, 1.0), (1.0, 0.0)])
def test_no_angle_with_a_product_that_vanishes(slope: float, objective_slope: float) -> None:
    problem = flat_engine(slope, objective_slope)
    found = second_order_diagnosis(problem, problem.groups[0], None, None, radius=1e-2)
    assert found == {"second_order_share": 0.0}


def test_nothing_to_say_where_the_objective_reaches_no_player() -> None:
    problem = flat_engine(1.0, 1.0)
    (group,) = problem.groups
    blind = replace(group, objective=lambda _: group.alphas[0] ** 2)
    assert second_order_diagnosis(problem, blind, None, None, radius=1e-2) == {}


def test_no_share_of_nothing() -> None:
    problem = flat_engine(0.0, 1.0)
    (group,) = problem.groups
    flat = replace(group, objective=lambda _: problem.players[0].weights[0] ** 2)
    assert second_order_diagnosis(problem, flat, None, None, radius=1e-2) == {}


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
