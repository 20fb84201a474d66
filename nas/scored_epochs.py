"""After which epochs a search scores its segmenter on the architecture half."""

from __future__ import annotations

from nas.settings import SearchSettings


def epochs_between(settings: SearchSettings) -> int:
    """Epochs from one score to the next.

    Scores that the search itself looks at, for its learning rates or its curriculum, come after
    every epoch.
    """
    looks = settings.training.lr_schedule == "plateau" or settings.augmentation.curriculum
    return 1 if looks else settings.architecture.validate_every


def is_scored(epoch: int, epochs: int, every: int) -> bool:
    """Whether an epoch (from 0) of so many is scored: the first, the last, and every so many."""
    return epoch in (0, epochs - 1) or (epoch + 1) % every == 0
