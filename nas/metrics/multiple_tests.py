"""Several tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """p values adjusted for their number by Holm's method (Scand. J. Stat. 1979).

    The i-th smallest of m is multiplied by m - i + 1, and is no smaller than the one before it, nor
    larger than 1. Rejecting those up to a level keeps the probability of any false rejection below
    it, whether or not the tests depend on each other.

    Args:
        ps: in [0, 1].

    Returns:
        The adjusted ones, in the order given.

    Raises:
        ValueError: one is not in [0, 1].
    """
    values = np.asarray(ps, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p values are in [0, 1], not {list(ps)}")
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return tuple(adjusted.tolist())
