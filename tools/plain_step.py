"""One step of a discriminator search as DARTS would take it: what the engine is checked against.

The virtual steps are taken on a deep copy of the networks, every loss passes through them anew, and
the second-order products are differences of gradients at weights that are moved and moved back.
`nas.bilevel` is tested, and timed, against this.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from plain_cell import PlainSupernet
from torch import Tensor, nn
from torch.optim import Optimizer

from nas.data.batches import Batch
from nas.devices import without_tf32
from nas.games.adversarial import AdversarialSegmentation

Loss: TypeAlias = Callable[[Batch], Tensor]


@dataclass
class PlainSearch:
    """A segmenter against a relaxed discriminator.

    Attributes:
        game: both networks and their losses; the discriminator is a `PlainSupernet`.
        optimizers: of theta, phi and alpha.
        rate: eta of the virtual steps, plain gradient descent.
        radius: of the finite differences.
        second_order: whether there are virtual steps at all.
    """

    game: AdversarialSegmentation
    optimizers: tuple[Optimizer, Optimizer, Optimizer]
    rate: float
    radius: float = 1e-2
    second_order: bool = True

    def step(self, train: Batch, validation: Batch) -> list[Tensor]:
        """Move alpha, then theta, then phi; the hypergradient that alpha followed."""
        of_theta, of_phi, of_alpha = self.optimizers
        slopes = self.hypergradient(train, validation)
        _descend(of_alpha, alphas(self.game), slopes)
        theta, phi = weights_of(self.game)
        _descend(of_theta, theta, _slopes(self.game.segmenter_loss(train), theta))
        _descend(of_phi, phi, _slopes(self.game.discriminator_loss(train), phi))
        return slopes

    def hypergradient(self, train: Batch, validation: Batch) -> list[Tensor]:
        """dJ/dalpha of the discriminator's objective, one tensor per alpha."""
        if not self.second_order:
            return _slopes(self.game.discriminator_objective(validation), alphas(self.game))
        unrolled = self._unrolled(train)
        theta, phi = weights_of(unrolled)
        slopes = _slopes(
            unrolled.discriminator_objective(validation), [*alphas(unrolled), *theta, *phi]
        )
        count = len(alphas(unrolled))
        direct, v_theta = slopes[:count], slopes[count : count + len(theta)]
        v_phi = slopes[count + len(theta) :]
        del unrolled, slopes
        theta, phi = weights_of(self.game)
        products = (
            self._product(self.game.segmenter_loss, train, theta, v_theta),
            self._product(self.game.discriminator_loss, train, phi, v_phi),
        )
        return [
            own - self.rate * (through_theta + through_phi)
            for own, through_theta, through_phi in zip(direct, *products, strict=True)
        ]

    def _unrolled(self, train: Batch) -> AdversarialSegmentation:
        """A deep copy of the game, one step of both players later."""
        unrolled = copy.deepcopy(self.game)
        theta, phi = weights_of(self.game)
        of_theta = _slopes(self.game.segmenter_loss(train), theta)
        of_phi = _slopes(self.game.discriminator_loss(train), phi)
        new_theta, new_phi = weights_of(unrolled)
        _move(new_theta, of_theta, -self.rate)
        _move(new_phi, of_phi, -self.rate)
        return unrolled

    def _product(
        self, loss: Loss, train: Batch, weights: Sequence[Tensor], vector: Sequence[Tensor]
    ) -> list[Tensor]:
        """d/dalpha of grad_w L . v by a central difference (DARTS, Eq. 8)."""
        eps = self.radius / torch.cat([part.flatten() for part in vector]).norm()
        with without_tf32():
            _move(weights, vector, eps)
            ahead = _slopes(loss(train), alphas(self.game))
            _move(weights, vector, -2 * eps)
            behind = _slopes(loss(train), alphas(self.game))
            _move(weights, vector, eps)
        return [(a - b) / (2 * eps) for a, b in zip(ahead, behind, strict=True)]


def alphas(game: AdversarialSegmentation) -> list[nn.Parameter]:
    """The architecture parameters of the game's discriminator."""
    return list(cast(PlainSupernet, game.discriminator).alpha.parameters())


def weights_of(game: AdversarialSegmentation) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """theta and phi."""
    architecture = set(alphas(game))
    phi = [each for each in game.discriminator.parameters() if each not in architecture]
    return list(game.segmenter.parameters()), phi


def _slopes(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    slopes = torch.autograd.grad(loss, list(inputs), allow_unused=True)
    return [
        torch.zeros_like(each) if slope is None else slope
        for slope, each in zip(slopes, inputs, strict=True)
    ]


def _move(weights: Sequence[Tensor], along: Sequence[Tensor], factor: float | Tensor) -> None:
    with torch.no_grad():
        for weight, part in zip(weights, along, strict=True):
            weight.add_(factor * part)


def _descend(
    optimizer: Optimizer, weights: Sequence[nn.Parameter], slopes: Sequence[Tensor]
) -> None:
    for weight, slope in zip(weights, slopes, strict=True):
        weight.grad = slope
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
