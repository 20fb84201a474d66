"""Is the second-order term worth its time? Both products side by side, and its share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from torch import Tensor, nn

from nas.bilevel import Batch, Bilevel, Group, Hypergradient, Player
from nas.gradients import Gradient, cosine, scale
from nas.products import Product


def update_beside(
    engine: Bilevel[Batch],
    group: Group[Batch],
    train: Batch,
    validation: Batch,
    beside: Product,
) -> tuple[Hypergradient, Hypergradient]:
    """One step of a group's alphas, and its hypergradient by another product as well.

    The step is that of `Bilevel.update_architecture`, bit for bit. What it computes serves the
    other hypergradient too, which costs no more than one product for each player.

    Args:
        engine: of the search.
        group: whose alphas move.
        train: as in a step.
        validation: as in a step.
        beside: the other rule, for the players that have a second-order term.

    Returns:
        The hypergradient that alpha went along, and the same by the other rule.
    """
    rules = {player.name: Beside(player, beside) for player in engine.players if player.has_product}
    players = [
        dataclasses.replace(player, product=rules.get(player.name, player.product))
        for player in engine.players
    ]
    terms = dataclasses.replace(engine, players=players).update_architecture(
        group, train, validation
    )
    indirect = {name: rules[name].term(engine) for name in terms.indirect}
    return terms, dataclasses.replace(terms, indirect=indirect)


def compare_products(approximate: Hypergradient, truth: Hypergradient) -> dict[str, float]:
    """How near finite differences are to the exact products, and what share those have.

    Args:
        approximate: with terms by finite differences.
        truth: of the same step, with exact ones.

    Returns:
        For each player with a second-order term, ``cosine_<name>`` between both products, in
        [-1, 1]; ``second_order_share``, the exact ||second|| / (||direct|| + ||second||) in
        [0, 1]. What is undefined, because the vectors vanish, is left out, and so is everything
        where no player has such a term.
    """
    if not truth.indirect:
        return {}
    numbers = {
        f"cosine_{name}": float(cosine(approximate.indirect[name], term))
        for name, term in truth.indirect.items()
    }
    numbers["second_order_share"] = float(truth.second_order_share())
    return {name: value for name, value in numbers.items() if not math.isnan(value)}


@dataclass
class Beside(Generic[Batch]):
    """A player's own rule, which has another one computed beside it and kept."""

    player: Player[Batch]
    rule: Product
    _found: Gradient = field(default_factory=list)

    def __call__(
        self,
        loss: Callable[[], Tensor],
        weights: Sequence[Tensor],
        vector: Gradient,
        alphas: Sequence[Tensor],
        modules: Sequence[nn.Module] = (),
    ) -> Gradient:
        assert self.player.product is not None
        self.beside(loss, weights, vector, alphas, modules)
        return self.player.product(loss, weights, vector, alphas, modules)

    def beside(self, *arguments: Any) -> None:
        """Compute the other product, of a player's loss."""
        self._found = self.rule(*arguments)

    def term(self, engine: Bilevel[Batch]) -> Gradient:
        """The second-order term by the other rule, with its sign."""
        rate = self.player.unrolled.present_rate(self.player.optimizer)
        return scale(engine.joined(self._found), -rate)
