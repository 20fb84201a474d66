"""Is the second-order term worth its time? Both products side by side, and its share."""

from __future__ import annotations

import math

from nas.bilevel import Batch, Bilevel, Group
from nas.gradients import cosine
from nas.products import exact, finite_difference


def second_order_diagnosis(
    engine: Bilevel[Batch], group: Group[Batch], train: Batch, validation: Batch, radius: float
) -> dict[str, float]:
    """Compare the finite difference with the exact product on one pair of batches.

    Leaves no trace, like every hypergradient.

    Returns:
        For each player with a second-order term, ``cosine_<name>`` between both products, in
        [-1, 1]; ``second_order_share``, the exact ||second|| / (||direct|| + ||second||) in
        [0, 1]. What is undefined, because the vectors vanish, is left out, and so is everything
        where no player has such a term.
    """
    if not any(player.has_product for player in engine.players):
        return {}
    truth = engine.with_product(exact()).hypergradient(group, train, validation)
    if not truth.indirect:
        return {}
    approximate = engine.with_product(finite_difference(radius)).hypergradient(
        group, train, validation
    )
    numbers = {
        f"cosine_{name}": float(cosine(approximate.indirect[name], term))
        for name, term in truth.indirect.items()
    }
    numbers["second_order_share"] = float(truth.second_order_share())
    return {name: value for name, value in numbers.items() if not math.isnan(value)}
