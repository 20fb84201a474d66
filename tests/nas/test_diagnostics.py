"""The diagnosis of the second-order term, on a problem whose products are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import SGD

from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.diagnostics import compare_products, update_beside
from nas.products import Product, exact, finite_difference


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


def diagnosis(problem: Bilevel[None], radius: float = 1e-2) -> dict[str, float]:
    """Of one step with finite differences, and exact products beside them."""
    finite = problem.with_product(finite_difference(radius))
    own, beside = update_beside(finite, finite.groups[0], None, None, exact())
    return compare_products(own, beside)


def test_share_and_cosine_on_a_quadratic() -> None:
    """Direct term (1, 1); product d_alpha (alpha w v) = w v with v = (1, 1); both rules agree."""
    problem = engine(rate=0.5)
    found = diagnosis(problem)
    second = 0.5 * torch.tensor([3.0, -1.0]).norm()
    direct = torch.tensor([1.0, 1.0]).norm()
    assert found["cosine_weights"] == pytest.approx(1.0, abs=1e-9)
    assert found["second_order_share"] == pytest.approx(float(second / (direct + second)))


def test_nothing_to_say_where_there_is_no_second_order_term() -> None:
    problem = engine(rate=0.0)
    assert diagnosis(problem) == {}


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
    found = diagnosis(problem)
    assert found == {"second_order_share": 0.0}


def test_nothing_to_say_where_the_objective_reaches_no_player() -> None:
    problem = flat_engine(1.0, 1.0)
    (group,) = problem.groups
    blind = replace(group, objective=lambda _: group.alphas[0] ** 2)
    assert diagnosis(replace(problem, groups=[blind])) == {}


def test_no_share_of_nothing() -> None:
    problem = flat_engine(0.0, 1.0)
    (group,) = problem.groups
    flat = replace(group, objective=lambda _: problem.players[0].weights[0] ** 2)
    assert diagnosis(replace(problem, groups=[flat])) == {}


@pytest.mark.parametrize("rules", [(exact(), finite_difference()), (finite_difference(), exact())])
def test_alpha_steps_as_without_the_other_rule(rules: tuple[Product, Product]) -> None:
    """L = 1/6 a w^3 has another finite difference than product, and alpha takes its own rule."""
    stepped = []
    for beside in (None, rules[1]):
        problem = cubic_engine(rules[0])
        (group,) = problem.groups
        if beside is None:
            own = problem.update_architecture(group, None, None)
        else:
            own, other = update_beside(problem, group, None, None, beside)
            alone = cubic_engine(beside)
            expected = alone.hypergradient(alone.groups[0], None, None)
            assert torch.equal(other.indirect["weights"][0], expected.indirect["weights"][0])
            assert torch.equal(other.direct[0], own.direct[0])
            assert not torch.equal(other.indirect["weights"][0], own.indirect["weights"][0])
        assert problem.players[0].weights[0].item() == 2.0
        stepped.append((group.alphas[0].item(), own.total()[0].item()))
    assert stepped[0] == stepped[1]


def cubic_engine(rule: Product) -> Bilevel[None]:
    """L = a w^3 / 6 at a = 1 and w = 2, J = a + w."""
    alpha = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    weight = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    player = Player[None](
        "weights", [weight], lambda _: alpha * weight**3 / 6, SGD([weight]), UnrolledStep(0.5), rule
    )
    group = Group[None]("alpha", [alpha], lambda _: alpha + weight, SGD([alpha], lr=0.1))
    return Bilevel([player], [group])


def test_what_other_processes_have_is_joined() -> None:
    """Two processes with the same part: all sums are twice as large, in both rules."""
    alone = cubic_engine(exact())
    joined = replace(cubic_engine(exact()), joined=lambda slopes: [2 * slope for slope in slopes])
    terms = [
        update_beside(each, each.groups[0], None, None, finite_difference())[1].indirect["weights"]
        for each in (alone, joined)
    ]
    assert terms[1][0].item() == pytest.approx(4 * terms[0][0].item(), rel=1e-3)


def test_a_dropped_term_stays_dropped() -> None:
    problem = replace(engine(0.5), players=[replace(engine(0.5).players[0], product=None)])
    own, beside = update_beside(problem, problem.groups[0], None, None, exact())
    assert own.indirect == beside.indirect == {}


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
    found = diagnosis(Bilevel([player], [group]), radius=8**0.5)
    expected = torch.nn.functional.cosine_similarity(
        torch.tensor([2.5 / 4, 1.0]), torch.tensor([1.0, 1.0]), dim=0
    )
    assert found["cosine_weights"] == pytest.approx(float(expected), abs=1e-6)
    assert found["second_order_share"] == pytest.approx(1.0)
