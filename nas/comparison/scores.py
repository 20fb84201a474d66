"""The primary scores that a comparison may be about, from confusion matrices."""

from __future__ import annotations

from typing import get_args

from nas.comparison.record import ScoreName
from nas.metrics.semantic import Counts, Values, dice, iou, mean_defined

SCORES: tuple[ScoreName, ...] = get_args(ScoreName)

IN_WORDS: dict[ScoreName, str] = {
    "mean_iou": "mIoU",
    "foreground_iou": "mIoU without background",
    "mean_dice": "mean Dice",
    "foreground_dice": "mean Dice without background",
}


def primary(confusions: Counts, name: ScoreName) -> Values:
    """A primary score of matrices (..., K, K), in [0, 1]; NaN where no class has one.

    Raises:
        ValueError: there is no such score.
    """
    if name not in SCORES:
        raise ValueError(f"there is no score {name}; there are {', '.join(SCORES)}")
    values = dice(confusions) if name.endswith("dice") else iou(confusions)
    return mean_defined(values[..., 1:] if name.startswith("foreground") else values)
