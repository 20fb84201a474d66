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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nas.gradients import Gradient, add, alone, filled, laid_out_like, norm, plus, scale
from nas.products import Product, finite_difference
from nas.terms import ByTerms, gradient_by_terms, slopes_by_terms, terms_of
from nas.traceless import Noise, frozen, moved, same_noise, without_trace

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

    def present_rate(self, optimizer: Optimizer) -> float | Tensor:
        """eta, next to the optimiser that takes the real steps; of the kind of its rate."""
        if self.rate is not None:
            return self.rate
        rate: float | Tensor = optimizer.param_groups[0]["lr"]
        return rate

    def displacement(
        self, weights: Sequence[Tensor], slopes: Gradient, optimizer: Optimizer
    ) -> Gradient:
        """w' - w, one tensor per weight."""
        move = slopes
        if self.weight_decay:
            move = plus(move, [weight.detach() for weight in weights], self.weight_decay)
        if self.momentum:
            buffers = [optimizer.state.get(each, {}).get("momentum_buffer") for each in weights]
            move = plus(move, filled(buffers, weights), self.momentum)
        return scale(move, -self.present_rate(optimizer))


@dataclass(frozen=True)
class Player(Generic[Batch]):
    """One side of the lower level.

    Attributes:
        name: what it is called in records.
        weights: the tensors it owns and trains.
        loss: its loss on a batch, a scalar that depends on its weights; `ByTerms` where the graphs
            of its terms need not be held at the same time.
        optimizer: takes its real steps.
        unrolled: takes its virtual steps.
        product: rule for its second-order term; None drops the term.
        clip_norm: largest norm of its gradient in real steps; None clips nothing.
        shows: the batch together with what its weights make of it, taken with gradient. Its own
            loss, and those of the players behind it, are the same functions of the batch with it
            as without it, as long as these weights are where they were; none of the others'
            weights may enter. So virtual steps and the product of another player need no passes
            of their own for it. None shows nothing.
    """

    name: str
    weights: Sequence[nn.Parameter]
    loss: Callable[[Batch], Tensor]
    optimizer: Optimizer
    unrolled: UnrolledStep
    product: Product | None = field(default_factory=finite_difference)
    clip_norm: float | None = None
    shows: Callable[[Batch], Batch] | None = None

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
        objective: J on a validation batch, a scalar; likewise.
        optimizer: takes the steps of alpha.
        depends_on: names of the players whose weights enter the objective; the others' virtual
            steps are not taken for it. None for all of them.
    """

    name: str
    alphas: Sequence[nn.Parameter]
    objective: Callable[[Batch], Tensor]
    optimizer: Optimizer
    depends_on: Sequence[str] | None = None

    def sees(self, player: Player[Batch]) -> bool:
        """Whether the player's weights enter the objective."""
        return self.depends_on is None or player.name in self.depends_on


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
            differences need full precision. What a player has shown is the same at both points of
            a difference, and stays as it is.
        joined: sums, tensor by tensor, over all processes that step together, each with a part of
            every batch. A loss is then the sum of the parts' losses, and the same step is taken
            everywhere; its products, which are linear in a loss, need no more than that.
    """

    players: Sequence[Player[Batch]]
    groups: Sequence[Group[Batch]]
    modules: Sequence[nn.Module] = ()
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    joined: Callable[[Gradient], Gradient] = alone

    def hypergradient(self, group: Group[Batch], train: Batch, validation: Batch) -> Hypergradient:
        """Derivative of the group's objective through one unrolled step of every player.

        Weights, buffers, gradients, optimisers and random state are afterwards as before.
        """
        with without_trace(self.modules):
            with ExitStack() as stack:
                stages = self._take_virtual_steps(stack, group, train)
                objective, direct, vectors = self._objective_slopes(group, validation)
            indirect = {}
            while vectors:
                player, vector = vectors.pop(0)
                stage = stages[player.name]
                indirect[player.name] = self._second_order_term(player, stage, vector, group.alphas)
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

    def _asking(self, tensors: Sequence[Tensor]) -> AbstractContextManager[None]:
        """Let gradients be asked for these alone, of all weights and alphas.

        A pass in this context keeps no graph of the others. A function of autograd that is
        written in Python learns only so that their gradients are not wanted.
        """
        asked = {id(tensor) for tensor in tensors}
        weights = [weight for player in self.players for weight in player.weights]
        alphas = [alpha for group in self.groups for alpha in group.alphas]
        return frozen(each for each in (*weights, *alphas) if id(each) not in asked)

    def _take_virtual_steps(
        self, stack: ExitStack, group: Group[Batch], train: Batch
    ) -> dict[str, _Stage[Batch]]:
        """Those of the players that the objective sees, all from the present weights.

        Returns:
            The stage that each one's loss has wherever its own weights are, by name.
        """
        players = [player for player in self.players if player.moves and group.sees(player)]
        stages: dict[str, _Stage[Batch]] = {}
        moves: list[Gradient] = []
        stage = _Stage(train)
        for player in players:
            stages[player.name] = before = stage
            with self._asking(player.weights), same_noise(player.weights):
                if player is not players[-1]:
                    with self.autocast():
                        stage = before.shown_by(player)
                moves.append(self._virtual_step(player, stage))
        for player in players:
            stack.enter_context(moved(player.weights, moves.pop(0)))
        return stages

    def _virtual_step(self, player: Player[Batch], stage: _Stage[Batch]) -> Gradient:
        terms = stage.terms(player)
        _, slopes = gradient_by_terms(terms, player.weights, self.autocast)
        slopes = self.joined(slopes)
        return player.unrolled.displacement(player.weights, slopes, player.optimizer)

    def _objective_slopes(
        self, group: Group[Batch], validation: Batch
    ) -> tuple[Tensor, Gradient, list[tuple[Player[Batch], Gradient]]]:
        players = [each for each in self.players if each.has_product and group.sees(each)]
        inputs = [*group.alphas, *(weight for player in players for weight in player.weights)]
        with self._asking(inputs), same_noise(group.alphas):
            terms = terms_of(group.objective, validation)
            objective, slopes = slopes_by_terms(terms, inputs, self.autocast)
        found = iter(slopes)
        direct = filled([next(found) for _ in group.alphas], group.alphas)
        parts = [(player, [next(found) for _ in player.weights]) for player in players]
        reached = [
            (player, filled(part, player.weights))
            for player, part in parts
            if any(slope is not None for slope in part)
        ]
        own = [objective, *direct, *(slope for _, part in reached for slope in part)]
        total, *joined = self.joined(own)
        rest = iter(joined)
        direct = [next(rest) for _ in group.alphas]
        vectors = [(player, [next(rest) for _ in part]) for player, part in reached]
        return total, direct, vectors

    def _second_order_term(
        self,
        player: Player[Batch],
        stage: _Stage[Batch],
        vector: Gradient,
        alphas: Sequence[Tensor],
    ) -> Gradient:
        assert player.product is not None
        with self._asking([*player.weights, *alphas]):
            loss = ByTerms(lambda: stage.terms(player))
            product = player.product(loss, player.weights, vector, alphas, self.modules)
        return scale(self.joined(product), -player.unrolled.present_rate(player.optimizer))

    def _update_player(self, player: Player[Batch], train: Batch) -> Tensor:
        with self._asking(player.weights):
            terms = terms_of(player.loss, train)
            loss, slopes = gradient_by_terms(terms, player.weights, self.autocast)
        total, *slopes = self.joined([loss, *slopes])
        if player.clip_norm is not None:
            slopes = scale(slopes, (player.clip_norm / (norm(slopes) + 1e-6)).clamp(max=1.0))
        _step(player.optimizer, player.weights, slopes)
        return total


@dataclass(frozen=True)
class _Stage(Generic[Batch]):
    """A batch, with what players have shown of it, and the noise behind their passes.

    A loss draws on from there, as it would have done behind passes of its own. None is the noise
    at hand.
    """

    batch: Batch
    noise: Noise | None = None

    def shown_by(self, player: Player[Batch]) -> _Stage[Batch]:
        """The stage behind the player's pass; this one if it shows nothing."""
        if player.shows is None:
            return self
        self._resume()
        batch = player.shows(self.batch)
        return _Stage(batch, Noise.present(player.weights))

    def terms(self, player: Player[Batch]) -> Iterator[Tensor]:
        """Those of the player's loss, on this stage."""
        self._resume()
        yield from terms_of(player.loss, self.batch)

    def _resume(self) -> None:
        if self.noise is not None:
            self.noise.resume()


def _step(optimizer: Optimizer, parameters: Sequence[nn.Parameter], slopes: Gradient) -> None:
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.grad = laid_out_like(parameter, slope)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
