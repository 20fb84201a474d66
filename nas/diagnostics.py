"""Is the second-order term worth its time? Both products side by side, and its share."""

from __future__ import annotations

from nas.bilevel import Batch, Bilevel, Group
from nas.gradients import cosine, norm
from nas.products import exact, finite_difference


def second_order_diagnosis(
    engine: Bilevel[Batch], group: Group[Batch], train: Batch, validation: Batch, radius: float
) -> dict[str, float]:
    """Compare the finite difference with the exact product on one pair of batches.

    Leaves no trace, like every hypergradient.

    Returns:
        For each player with a second-order term, ``cosine_<name>`` between both products, in
        [-1, 1] and 0 where one of them vanishes; ``second_order_share``, the exact
        ||second|| / (||direct|| + ||second||) in [0, 1]. Empty where no player has such a term.
    """
    if not any(player.has_product for player in engine.players):
        return {}
    truth = engine.with_product(exact()).hypergradient(group, train, validation)
    approximate = engine.with_product(finite_difference(radius)).hypergradient(
        group, train, validation
    )
    cosines = {
        f"cosine_{name}": _cosine(approximate.indirect[name], term)
        for name, term in truth.indirect.items()
    }
    return {**cosines, "second_order_share": float(truth.second_order_share().nan_to_num())}


def _cosine(first: list, second: list) -> float:
    return float(cosine(first, second).nan_to_num()) if float(norm(second)) else 0.0
