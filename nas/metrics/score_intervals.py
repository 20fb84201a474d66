"""Confidence intervals of the scores of a set of images, see `nas.metrics.intervals`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from nas.metrics.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    bootstrap,
    mean_of_tallies,
    mean_tallies,
    units_of,
)
from nas.metrics.semantic import (
    Counts,
    Values,
    dice,
    iou,
    mean_defined,
    pixel_accuracy,
    precision,
    recall,
)
from nas.metrics.surface import SurfaceScores

RATIOS = {"iou": iou, "dice": dice, "precision": precision, "recall": recall}
"""Measures of a class by their names in `nas.metrics.semantic.Summary`."""


class MeasureIntervals(Struct, frozen=True, kw_only=True):
    """Of the numbers of a `nas.metrics.semantic.Measure`; None where there is none."""

    per_class: tuple[Interval | None, ...]
    mean: Interval | None
    mean_foreground: Interval | None


class SummaryIntervals(Struct, frozen=True, kw_only=True):
    """Of the numbers of a `nas.metrics.semantic.Summary`."""

    iou: MeasureIntervals
    dice: MeasureIntervals
    precision: MeasureIntervals
    recall: MeasureIntervals
    pixel_accuracy: Interval | None


class ScoreIntervals(Struct, frozen=True, kw_only=True):
    """Intervals of all scores, from the same resamples.

    Attributes:
        level: share of such intervals that hold the true value, where cases are many.
        resamples: how many.
        seed: of the resamples.
        units: how many groups, and cases without a group, there are to draw from.
        pooled: of scores of all pixels together.
        per_image: of means over images.
        hd95: of means over images.
        assd: of means over images.
    """

    level: float
    resamples: int
    seed: int
    units: int
    pooled: SummaryIntervals
    per_image: SummaryIntervals
    hd95: MeasureIntervals
    assd: MeasureIntervals


def score_intervals(
    confusions: Counts,
    surfaces: Sequence[SurfaceScores],
    groups: Sequence[str | None],
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> ScoreIntervals:
    """Intervals of the scores of N images with K classes.

    Args:
        confusions: (N, K, K), one confusion matrix per image.
        surfaces: the distances of each image.
        groups: of each image; None where it stands for itself.
        seed: of the resamples.
        resamples: how many.
        level: in (0, 1).

    Raises:
        ValueError: the numbers of images differ, or the level is not in (0, 1).
    """
    if not len(confusions) == len(surfaces) == len(groups):
        raise ValueError(
            f"{len(confusions)} matrices, {len(surfaces)} surfaces and {len(groups)} groups do not "
            "belong together"
        )
    pixels = confusions.shape[1] ** 2
    images = mean_tallies(np.concatenate([_pooled(confusions), _distances(surfaces)], axis=1))

    def statistic(sums: Values) -> Values:
        matrices = sums[..., :pixels].reshape(*sums.shape[:-1], *confusions.shape[1:])
        return np.concatenate([_pooled(matrices), mean_of_tallies(sums[..., pixels:])], axis=-1)

    tallies = np.concatenate([confusions.reshape(len(confusions), pixels), images], axis=1)
    units = units_of(groups)
    found = list(bootstrap(statistic, tallies, units, seed, resamples, level))
    width = confusions.shape[1] + 2
    pooled, per_image = (_summary(found, width) for _ in range(2))
    return ScoreIntervals(
        level=level,
        resamples=resamples,
        seed=seed,
        units=len(np.unique(units)),
        pooled=pooled,
        per_image=per_image,
        hd95=_measure(found, width),
        assd=_measure(found, width),
    )


def _pooled(confusions: np.ndarray) -> Values:
    """(..., K, K) to (..., 4 (K + 2) + 1), in the order of `SummaryIntervals`."""
    measures = [_with_means(ratio(confusions)) for ratio in RATIOS.values()]
    return np.concatenate([*measures, pixel_accuracy(confusions)[..., None]], axis=-1)


def _distances(surfaces: Sequence[SurfaceScores]) -> Values:
    """(N, 2 (K + 2)): HD95, then ASSD."""
    return np.array(
        [np.append(_with_means(each.hd95), _with_means(each.assd)) for each in surfaces]
    )


def _with_means(values: Values) -> Values:
    """(..., K) to (..., K + 2), with the mean of all classes and that of the foreground."""
    means = [mean_defined(values), mean_defined(values[..., 1:])]
    return np.concatenate([values, np.stack(means, axis=-1)], axis=-1)


def _summary(found: list[Interval | None], width: int) -> SummaryIntervals:
    measures = {name: _measure(found, width) for name in RATIOS}
    return SummaryIntervals(**measures, pixel_accuracy=found.pop(0))


def _measure(found: list[Interval | None], width: int) -> MeasureIntervals:
    """Of the first ``width`` intervals, which are taken from the list."""
    *per_class, mean, mean_foreground = (found.pop(0) for _ in range(width))
    return MeasureIntervals(per_class=tuple(per_class), mean=mean, mean_foreground=mean_foreground)
