"""Bilevel optimisation of a game: hypergradients and the alternating optimiser.

The lower level is a game of players, each with its weights and its loss. The upper level is
one or more groups of architecture parameters alpha, each with an objective J. One unrolled step
of every player stands for the optimum of the game (Dong et al. 2019, Eq. 9; DARTS, Eq. 6):

    w' = w - eta * (grad_w L(alpha, w) + ...)

    dJ/dalpha = d_alpha J(alpha, w')  -  sum over players of  eta * d_alpha [grad_w L . v],
    v = grad J at w'

All players step from their present weights, so this is the exact derivative of the one-step
problem. Nothing here knows of images: the losses are functions of whatever a batch is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nas.gradients import Gradient, add, filled, gradient, norm, scale, slopes_if_any
from nas.products import Product, finite_difference
from nas.traceless import moved, same_noise, without_trace

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class UnrolledStep:
    """Gradient descent with rate eta, the virtual step that stands for the inner optimum.

    With momentum mu and weight decay lambda, as SGD takes it (buffers b of the optimiser):
    w' = w - eta * (mu * b + grad_w L + lambda * w). Rate 0 unrolls nothing, which is the
    first-order approximation; with None for a rate, eta is the optimiser's own at the time.
    """

    rate: float | None
    momentum: float = 0.0
    weight_decay: float = 0.0

    def present_rate(self, optimizer: Optimizer) -> float:
        """eta, next to the optimiser that takes the real steps."""
        if self.rate is not None:
            return self.rate
        return float(optimizer.param_groups[0]["lr"])

    def displacement(
        self, weights: Sequence[Tensor], slopes: Gradient, optimizer: Optimizer
    ) -> Gradient:
        """w' - w, one tensor per weight."""
        moves = []
        for weight, slope in zip(weights, slopes, strict=True):
            move = slope + self.weight_decay * weight.detach()
            if self.momentum:
                buffer = optimizer.state.get(weight, {}).get("momentum_buffer")
                move = move if buffer is None else move + self.momentum * buffer
            moves.append(-self.present_rate(optimizer) * move)
        return moves


@dataclass(frozen=True)
class Player(Generic[Batch]):
    """One side of the lower level.

    Attributes:
        name: what it is called in records.
        weights: the tensors it owns and trains.
        loss: its loss on a batch, a scalar that depends on its weights.
        optimizer: takes its real steps.
        unrolled: takes its virtual steps.
        product: rule for its second-order term; None drops the term.
        clip_norm: largest norm of its gradient in real steps; None clips nothing.
    """

    name: str
    weights: Sequence[nn.Parameter]
    loss: Callable[[Batch], Tensor]
    optimizer: Optimizer
    unrolled: UnrolledStep
    product: Product | None = field(default_factory=finite_difference)
    clip_norm: float | None = None

    @property
    def moves(self) -> bool:
        """Whether its virtual step goes anywhere."""
        return self.unrolled.rate != 0

    @property
    def has_product(self) -> bool:
        """Whether it contributes a second-order term."""
        return self.moves and self.product is not None


@dataclass(frozen=True)
class Group(Generic[Batch]):
    """Architecture parameters that share an objective.

    Attributes:
        name: what it is called in records.
        alphas: the architecture parameters.
        objective: J on a validation batch, a scalar.
        optimizer: takes the steps of alpha.
    """

    name: str
    alphas: Sequence[nn.Parameter]
    objective: Callable[[Batch], Tensor]
    optimizer: Optimizer


@dataclass(frozen=True)
class Hypergradient:
    """The parts of dJ/dalpha; each is a list with one tensor per alpha.

    Attributes:
        objective: J at the unrolled weights, a scalar tensor.
        direct: d_alpha J at the unrolled weights.
        indirect: for each player that has one, by name, its second-order term, with its sign.
    """

    objective: Tensor
    direct: Gradient
    indirect: dict[str, Gradient]

    def total(self) -> Gradient:
        """Sum of all parts: the derivative that alpha descends."""
        return add(self.direct, *self.indirect.values())

    def second_order(self) -> Gradient:
        """Sum of the players' terms; zeros where there is none."""
        if not self.indirect:
            return [torch.zeros_like(part) for part in self.direct]
        return add(*self.indirect.values())

    def second_order_share(self) -> Tensor:
        """||second order|| / (||direct|| + ||second order||), in [0, 1]."""
        second = norm(self.second_order())
        return second / (norm(self.direct) + second)


@dataclass(frozen=True)
class Bilevel(Generic[Batch]):
    """A game of players under groups of architecture parameters.

    Attributes:
        players: the lower level, in the order in which they take their real steps.
        groups: the upper level.
        modules: networks whose buffers a virtual step must not change.
        autocast: context of every pass but those of the second-order products, whose small
            differences need full precision.
    """

    players: Sequence[Player[Batch]]
    groups: Sequence[Group[Batch]]
    modules: Sequence[nn.Module] = ()
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext

    def hypergradient(self, group: Group[Batch], train: Batch, validation: Batch) -> Hypergradient:
        """Derivative of the group's objective through one unrolled step of every player.

        Weights, buffers, gradients, optimisers and random state are afterwards as before.
        """
        with without_trace(self.modules):
            with self._at_unrolled_weights(train):
                objective, direct, vectors = self._objective_slopes(group, validation)
            indirect = {
                player.name: self._second_order_term(player, train, vector, group.alphas)
                for player, vector in vectors
            }
        return Hypergradient(objective, direct, indirect)

    def update_architecture(
        self, group: Group[Batch], train: Batch, validation: Batch
    ) -> Hypergradient:
        """One optimiser step of a group's alphas along its hypergradient."""
        terms = self.hypergradient(group, train, validation)
        _step(group.optimizer, group.alphas, terms.total())
        return terms

    def update_weights(self, train: Batch, order: Sequence[str] | None = None) -> dict[str, Tensor]:
        """One optimiser step of each player in turn; its loss before its last step, by name.

        Args:
            train: the batch.
            order: names of the players to move, each as often as it is named; by default each of
                them once.
        """
        players = {player.name: player for player in self.players}
        return {
            name: self._update_player(players[name], train)
            for name in (players if order is None else order)
        }

    def optimizers(self) -> dict[str, Optimizer]:
        """Those of the weights by their player's name, those of alpha with ``_architecture``."""
        players = {player.name: player.optimizer for player in self.players}
        groups = {f"{group.name}_architecture": group.optimizer for group in self.groups}
        return players | groups

    def state(self) -> dict[str, Any]:
        """What the engine remembers from step to step, as tensors and plain values."""
        return {name: optimizer.state_dict() for name, optimizer in self.optimizers().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        for name, optimizer in self.optimizers().items():
            optimizer.load_state_dict(state[name])

    def with_product(self, product: Product | None) -> Bilevel[Batch]:
        """The same game with another rule for the terms of the players that have one."""
        players = [
            dataclasses.replace(player, product=product) if player.has_product else player
            for player in self.players
        ]
        return dataclasses.replace(self, players=players)

    def _at_unrolled_weights(self, train: Batch) -> ExitStack:
        displacements = [
            (player.weights, self._displacement(player, train))
            for player in self.players
            if player.moves
        ]
        stack = ExitStack()
        for weights, displacement in displacements:
            stack.enter_context(moved(weights, displacement))
        return stack

    def _displacement(self, player: Player[Batch], train: Batch) -> Gradient:
        with self.autocast(), same_noise(player.weights):
            loss = player.loss(train)
        slopes = gradient(loss, player.weights)
        return player.unrolled.displacement(player.weights, slopes, player.optimizer)

    def _objective_slopes(
        self, group: Group[Batch], validation: Batch
    ) -> tuple[Tensor, Gradient, list[tuple[Player[Batch], Gradient]]]:
        players = [player for player in self.players if player.has_product]
        with self.autocast(), same_noise(group.alphas):
            objective = group.objective(validation)
        inputs = [*group.alphas, *(weight for player in players for weight in player.weights)]
        slopes = iter(slopes_if_any(objective, inputs))
        direct = filled([next(slopes) for _ in group.alphas], group.alphas)
        parts = [(player, [next(slopes) for _ in player.weights]) for player in players]
        reached = [
            (player, filled(part, player.weights))
            for player, part in parts
            if any(slope is not None for slope in part)
        ]
        return objective.detach(), direct, reached

    def _second_order_term(
        self, player: Player[Batch], train: Batch, vector: Gradient, alphas: Sequence[Tensor]
    ) -> Gradient:
        assert player.product is not None
        product = player.product(
            lambda: player.loss(train), player.weights, vector, alphas, self.modules
        )
        return scale(product, -player.unrolled.present_rate(player.optimizer))

    def _update_player(self, player: Player[Batch], train: Batch) -> Tensor:
        with self.autocast():
            loss = player.loss(train)
        slopes = gradient(loss, player.weights)
        if player.clip_norm is not None:
            slopes = scale(slopes, (player.clip_norm / (norm(slopes) + 1e-6)).clamp(max=1.0))
        _step(player.optimizer, player.weights, slopes)
        return loss.detach()


def _step(optimizer: Optimizer, parameters: Sequence[nn.Parameter], slopes: Gradient) -> None:
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.grad = slope
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
