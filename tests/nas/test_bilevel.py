"""The engine on problems with a known answer, and what its steps may touch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import SGD, Adam

from nas.bilevel import Bilevel, Group, Hypergradient, Player, UnrolledStep
from nas.products import Product, exact, finite_difference

RULES = pytest.mark.parametrize("product", [exact(), finite_difference()])


def scalar(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value, dtype=torch.float64))


def toy(a: float, w: float, rate: float, product: Product | None) -> Bilevel[None]:
    """L_val = a w - 2 a + 1 and L_train = (w - a)^2, the example of DARTS (section 2.3)."""
    alpha, weight = scalar(a), scalar(w)
    player = Player[None](
        "weight",
        [weight],
        lambda _: (weight - alpha) ** 2,
        SGD([weight], lr=0.2),
        UnrolledStep(rate),
        product,
    )
    group = Group[None](
        "alpha", [alpha], lambda _: alpha * weight - 2 * alpha + 1, SGD([alpha], lr=0.2)
    )
    return Bilevel([player], [group])


@RULES
def test_hypergradient_of_the_toy(product: Product) -> None:
    engine = toy(a=2.0, w=-2.0, rate=0.3, product=product)
    terms = engine.hypergradient(engine.groups[0], None, None)
    assert float(terms.total()[0]) == pytest.approx(-0.4, abs=1e-9)
    assert float(terms.direct[0]) == pytest.approx(0.4 - 2)
    assert float(terms.indirect["weight"][0]) == pytest.approx(2 * 0.3 * 2)


@RULES
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_fixed_point_of_the_toy(product: Product, rate: float) -> None:
    """a = w = 2 / (1 + 2 xi): the optimum (1, 1) of the bilevel problem for xi = 1/2 only."""
    engine = toy(a=2.0, w=-2.0, rate=rate, product=product)
    for _ in range(400):
        engine.update_architecture(engine.groups[0], None, None)
        engine.update_weights(None)
    expected = 2 / (1 + 2 * rate)
    assert engine.groups[0].alphas[0].item() == pytest.approx(expected, abs=1e-6)
    assert engine.players[0].weights[0].item() == pytest.approx(expected, abs=1e-6)


class TwoPlayers:
    """A small adversarial game with batch norm and dropout, in float64."""

    def __init__(
        self, product: Product | None = None, momentum: float = 0.0, dropout: float = 0.0
    ) -> None:
        torch.manual_seed(1)
        self.segmenter = nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(dropout), nn.Linear(4, 2)
        ).double()
        self.judge = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.BatchNorm1d(4)).double()
        self.head = nn.Linear(4, 1).double()
        self.alpha = nn.Parameter(torch.randn(4, dtype=torch.float64))
        self.theta = theta = list(self.segmenter.parameters())
        self.phi = phi = [*self.judge.parameters(), *self.head.parameters()]

        def player(name: str, weights: list, loss: Callable, rate: float) -> Player[Tensor]:
            decay = 0.01 if momentum else 0.0
            optimizer = SGD(weights, lr=rate, momentum=momentum, weight_decay=decay)
            unrolled = UnrolledStep(rate, momentum, decay)
            return Player(name, weights, loss, optimizer, unrolled, product)

        self.engine = Bilevel(
            players=[
                player("segmenter", theta, self.segmenter_loss, 0.3),
                player("discriminator", phi, self.discriminator_loss, 0.2),
            ],
            groups=[Group("alpha", [self.alpha], self.objective, Adam([self.alpha], lr=0.1))],
            modules=[self.segmenter, self.judge, self.head],
        )
        generator = torch.Generator().manual_seed(5)
        self.train = torch.randn(8, 3, generator=generator, dtype=torch.float64)
        self.validation = torch.randn(8, 3, generator=generator, dtype=torch.float64)

    def verdict(self, x: Tensor) -> Tensor:
        return self.head(self.judge(x) * self.alpha.softmax(0))

    def segmenter_loss(self, x: Tensor) -> Tensor:
        y = self.segmenter(x)
        return y.square().mean() + nn.functional.softplus(-self.verdict(y)).mean()

    def discriminator_loss(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.segmenter(x)
        return self.objective_of(x, y)

    def objective(self, x: Tensor) -> Tensor:
        return self.objective_of(x, self.segmenter(x))

    def objective_of(self, x: Tensor, y: Tensor) -> Tensor:
        real = self.verdict(x[:, :2])
        return nn.functional.softplus(-real).mean() + nn.functional.softplus(self.verdict(y)).mean()

    def state(self) -> dict[str, Any]:
        modules = {
            name: copy.deepcopy(module.state_dict())
            for name, module in (("s", self.segmenter), ("j", self.judge), ("h", self.head))
        }
        optimizers = [copy.deepcopy(p.optimizer.state_dict()) for p in self.engine.players]
        return {**modules, "optimizers": optimizers, "random": torch.get_rng_state()}


def assert_identical(first: Any, second: Any) -> None:
    if isinstance(first, Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_identical(first[key], second[key])
    elif isinstance(first, list):
        for a, b in zip(first, second, strict=True):
            assert_identical(a, b)
    else:
        assert first == second


def unrolled_by_functional_call(game: TwoPlayers, momentum: float = 0.0) -> Tensor:
    """dJ/dalpha by autograd through the unrolled steps themselves, with nothing approximated.

    The steps are taken on copies of the weights with ``create_graph``, as an independent oracle.
    """
    decay = 0.01 if momentum else 0.0
    modules = {"s": game.segmenter, "j": game.judge, "h": game.head}
    names = {key: dict(module.named_parameters()) for key, module in modules.items()}

    def step(keys: list[str], loss: Callable[[Tensor], Tensor], rate: float, optimizer) -> dict:
        weights = [weight for key in keys for weight in names[key].values()]
        slopes = torch.autograd.grad(loss(game.train), weights, create_graph=True)
        moved = []
        for weight, slope in zip(weights, slopes, strict=True):
            buffer = optimizer.state[weight].get("momentum_buffer", torch.zeros_like(weight))
            moved.append(weight - rate * (slope + decay * weight + momentum * buffer))
        moved = iter(moved)
        return {key: {name: next(moved) for name in names[key]} for key in keys}

    players = game.engine.players
    new = {
        **step(["s"], game.segmenter_loss, 0.3, players[0].optimizer),
        **step(["j", "h"], game.discriminator_loss, 0.2, players[1].optimizer),
    }

    def call(key: str, x: Tensor) -> Tensor:
        return torch.func.functional_call(modules[key], new[key], x)

    def verdict(x: Tensor) -> Tensor:
        return call("h", call("j", x) * game.alpha.softmax(0))

    x = game.validation
    fake = verdict(call("s", x))
    real = verdict(x[:, :2])
    objective = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
    return torch.autograd.grad(objective, game.alpha)[0]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_hypergradient_is_autograd_through_the_unrolled_steps(momentum: float) -> None:
    game = TwoPlayers(exact(), momentum)
    for _ in range(3):
        game.engine.update_weights(game.train)
    (found,) = game.engine.hypergradient(game.engine.groups[0], game.train, game.validation).total()
    truth = unrolled_by_functional_call(game, momentum)
    assert torch.allclose(found, truth, rtol=1e-10, atol=1e-14)


def test_finite_differences_give_the_same_hypergradient() -> None:
    game = TwoPlayers(finite_difference(1e-4))
    (found,) = game.engine.hypergradient(game.engine.groups[0], game.train, game.validation).total()
    assert torch.allclose(found, unrolled_by_functional_call(game), rtol=1e-5)


def test_terms_can_be_dropped_one_by_one() -> None:
    full = TwoPlayers(exact())
    terms = full.engine.hypergradient(full.engine.groups[0], full.train, full.validation)
    assert set(terms.indirect) == {"segmenter", "discriminator"}
    none = TwoPlayers(None)
    left = none.engine.hypergradient(none.engine.groups[0], none.train, none.validation)
    assert left.indirect == {}
    assert torch.equal(left.direct[0], terms.direct[0])
    assert torch.equal(left.second_order()[0], torch.zeros_like(left.direct[0]))


def test_share_of_the_second_order_terms() -> None:
    terms = Hypergradient(
        torch.tensor(0.0),
        [torch.tensor([3.0])],
        {"a": [torch.tensor([2.0])], "b": [torch.tensor([-1.0])]},
    )
    assert float(terms.second_order_share()) == pytest.approx(1 / 4)
    assert float(terms.total()[0]) == pytest.approx(4.0)


@pytest.mark.parametrize("product", [exact(), finite_difference(), None])
@pytest.mark.parametrize("steps", [0, 1])
def test_an_architecture_step_moves_alpha_and_leaves_no_other_trace(
    product: Product | None, steps: int
) -> None:
    game = TwoPlayers(product, momentum=0.9, dropout=0.5)
    for _ in range(steps):
        game.engine.update_weights(game.train)
    before, alpha = game.state(), game.alpha.detach().clone()
    game.engine.update_architecture(game.engine.groups[0], game.train, game.validation)
    assert not torch.equal(alpha, game.alpha)
    assert_identical(before, game.state())
    assert all(weight.grad is None for weight in (*game.theta, *game.phi))


def test_a_weight_step_leaves_alpha_and_its_optimizer() -> None:
    game = TwoPlayers(exact())
    (group,) = game.engine.groups
    game.engine.update_architecture(group, game.train, game.validation)
    alpha, state = game.alpha.detach().clone(), copy.deepcopy(group.optimizer.state_dict())
    first_weights = [game.theta[0].detach().clone(), game.phi[0].detach().clone()]
    game.engine.update_weights(game.train)
    assert torch.equal(alpha, game.alpha)
    assert game.alpha.grad is None
    assert_identical(state, group.optimizer.state_dict())
    assert not torch.equal(first_weights[0], game.theta[0])
    assert not torch.equal(first_weights[1], game.phi[0])


@pytest.mark.parametrize(("mover", "other"), [(0, "phi"), (1, "theta")])
def test_a_players_step_gives_the_other_no_gradient(mover: int, other: str) -> None:
    game = TwoPlayers(exact())
    marks = [torch.full_like(weight, 7.0) for weight in getattr(game, other)]
    for weight, mark in zip(getattr(game, other), marks, strict=True):
        weight.grad = mark.clone()
    before = [weight.detach().clone() for weight in getattr(game, other)]
    game.engine._update_player(game.engine.players[mover], game.train)
    for weight, mark, value in zip(getattr(game, other), marks, before, strict=True):
        assert torch.equal(weight.grad, mark)
        assert torch.equal(weight, value)


def test_the_gradient_of_a_real_step_is_clipped_to_its_norm() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SGD([weight], lr=1.0)
    player = Player[None](
        "w",
        [weight],
        lambda _: 10 * weight.sum(),
        optimizer,
        UnrolledStep(0.0),
        None,
        clip_norm=1.0,
    )
    Bilevel([player], []).update_weights(None)
    step = torch.tensor([3.0, 4.0]) - weight.detach()
    assert float(step.norm()) == pytest.approx(1.0, rel=1e-5)


def test_weights_come_back_when_an_objective_fails() -> None:
    game = TwoPlayers(exact())
    before = game.state()

    def failing(_: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    group = Group("alpha", [game.alpha], failing, Adam([game.alpha]))
    with pytest.raises(RuntimeError, match="out of memory"):
        game.engine.hypergradient(group, game.train, game.validation)
    assert_identical(before, game.state())


@RULES
def test_a_player_out_of_reach_of_the_objective_has_no_term(product: Product) -> None:
    """J sees the first player alone: the second takes its unrolled step and no other pass."""
    alpha, seen, unseen = scalar(2.0), scalar(-2.0), scalar(3.0)
    calls = {"seen": 0, "unseen": 0}

    def player(name: str, weight: nn.Parameter) -> Player[None]:
        def loss(_: None) -> Tensor:
            calls[name] += 1
            return (weight - alpha) ** 2

        return Player(name, [weight], loss, SGD([weight], lr=0.1), UnrolledStep(0.3), product)

    group = Group[None]("alpha", [alpha], lambda _: alpha * seen, SGD([alpha], lr=0.1))
    engine = Bilevel([player("seen", seen), player("unseen", unseen)], [group])
    terms = engine.hypergradient(group, None, None)
    assert set(terms.indirect) == {"seen"}
    assert calls["unseen"] == 1
    assert calls["seen"] > 1
    # w' = -2 + 0.3 * 2 * 4 = 0.4 and dw'/da = 0.6, so dJ/da = w' + 0.6 a
    assert float(terms.total()[0]) == pytest.approx(0.4 + 0.6 * 2)


def test_a_vanishing_slope_is_no_missing_one() -> None:
    """J reaches the player, with slope zero at this point: its term is there, and zero."""
    alpha, weight = scalar(2.0), scalar(0.0)
    player = Player[None](
        "w", [weight], lambda _: alpha * weight**2, SGD([weight], lr=0.1), UnrolledStep(0.3)
    )
    group = Group[None]("alpha", [alpha], lambda _: weight**2, SGD([alpha], lr=0.1))
    terms = Bilevel([player], [group]).hypergradient(group, None, None)
    assert float(terms.indirect["w"][0]) == 0.0


class SpectralGame:
    """A segmenter before a judge with spectral norm, both smooth, in float64."""

    def __init__(self, converged: bool) -> None:
        torch.manual_seed(2)
        self.segmenter = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 6)).double()
        hidden = spectral_norm(nn.Linear(6, 5).double())
        self.judge = nn.Sequential(hidden, nn.Tanh(), nn.Linear(5, 1).double())
        self.alpha = nn.Parameter(torch.randn(6, dtype=torch.float64))
        self.x = torch.randn(8, 3, dtype=torch.float64)
        for _ in range(2000 if converged else 0):
            self.judge(torch.zeros(1, 6, dtype=torch.float64))

    def loss(self) -> Tensor:
        verdict = self.judge(self.segmenter(self.x) * self.alpha.softmax(0))
        return nn.functional.softplus(-verdict).mean()

    def term(self, product: Product, owner: nn.Module) -> Tensor:
        weights = list(owner.parameters())
        player = Player[None](
            "p", weights, lambda _: self.loss(), SGD(weights, lr=0.1), UnrolledStep(0.1), product
        )
        group = Group[None]("a", [self.alpha], lambda _: self.loss(), SGD([self.alpha], lr=0.1))
        engine = Bilevel([player], [group], [self.segmenter, self.judge])
        return engine.hypergradient(group, None, None).indirect["p"][0]


@pytest.mark.parametrize(("owner", "converged"), [("segmenter", False), ("judge", True)])
def test_spectral_norm_is_the_same_on_both_sides_of_the_difference(
    owner: str, converged: bool
) -> None:
    """The exact product holds u and v fixed.

    So does the difference where other weights move, or where u and v are singular vectors: the
    singular value is then stationary in them.
    """
    game = SpectralGame(converged)
    found, truth = (
        game.term(rule, getattr(game, owner)) for rule in (finite_difference(1e-4), exact())
    )
    assert torch.allclose(found, truth, rtol=1e-5, atol=1e-12)
