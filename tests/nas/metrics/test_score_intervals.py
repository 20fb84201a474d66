"""Intervals of all scores against the bootstrap of one score at a time."""

from __future__ import annotations

import numpy as np
import pytest

from nas.metrics.intervals import bootstrap_mean
from nas.metrics.score_intervals import RATIOS, score_intervals
from nas.metrics.semantic import confusion_matrices, mean_defined, pixel_accuracy, score
from nas.metrics.surface import surface_distances

RNG = np.random.default_rng(3)
TRUTHS = RNG.integers(0, 3, (8, 6, 6))
TRUTHS[:3][TRUTHS[:3] == 2] = 0
PREDICTIONS = np.where(RNG.random((8, 6, 6)) < 0.6, TRUTHS, RNG.integers(0, 2, (8, 6, 6)))
CONFUSIONS = confusion_matrices(PREDICTIONS, TRUTHS, 3)
SURFACES = [surface_distances(p, t, 3) for p, t in zip(PREDICTIONS, TRUTHS, strict=True)]
GROUPS = ["a", "a", "b", None, "b", None, "c", "c"]
FOUND = score_intervals(CONFUSIONS, SURFACES, GROUPS, seed=5, resamples=300)


def test_says_what_was_drawn() -> None:
    assert (FOUND.units, FOUND.seed, FOUND.resamples, FOUND.level) == (5, 5, 300, 0.95)


@pytest.mark.parametrize("name", RATIOS)
def test_of_means_over_images(name: str) -> None:
    values = RATIOS[name](CONFUSIONS)
    found = getattr(FOUND.per_image, name)
    expected = [bootstrap_mean(values[:, k], GROUPS, 5, 300) for k in range(3)]
    assert np.array(found.per_class) == pytest.approx(np.array(expected))
    assert found.mean == pytest.approx(bootstrap_mean(mean_defined(values), GROUPS, 5, 300))
    foreground = mean_defined(values[:, 1:])
    assert found.mean_foreground == pytest.approx(bootstrap_mean(foreground, GROUPS, 5, 300))


def test_of_accuracy_and_distances() -> None:
    accuracy = bootstrap_mean(pixel_accuracy(CONFUSIONS), GROUPS, 5, 300)
    assert FOUND.per_image.pixel_accuracy == pytest.approx(accuracy)
    for name in ("hd95", "assd"):
        values = np.array([getattr(each, name) for each in SURFACES])
        found = getattr(FOUND, name)
        expected = [bootstrap_mean(values[:, k], GROUPS, 5, 300) for k in range(3)]
        assert np.array(found.per_class) == pytest.approx(np.array(expected))
        foreground = mean_defined(values[:, 1:])
        assert found.mean_foreground == pytest.approx(bootstrap_mean(foreground, GROUPS, 5, 300))


@pytest.mark.parametrize("name", RATIOS)
def test_of_pooled_scores(name: str) -> None:
    """Scores of resamples made by drawing the groups one after the other."""
    members = [[0, 1], [2, 4], [3], [5], [6, 7]]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(3000):
        cases = [case for unit in rng.integers(0, 5, 5) for case in members[unit]]
        measure = getattr(score(CONFUSIONS[cases], ("a", "b", "c")).pooled, name)
        drawn.append([*measure.per_class, measure.mean, measure.mean_foreground])
    wide = score_intervals(CONFUSIONS, SURFACES, GROUPS, seed=1, resamples=10_000)
    found = getattr(wide.pooled, name)
    values = np.array(drawn, dtype=float)
    expected = np.nanquantile(values, [0.025, 0.975], axis=0).T
    for interval, ends in zip(
        (*found.per_class, found.mean, found.mean_foreground), expected, strict=True
    ):
        if np.isnan(ends).any():
            assert interval is None
        else:
            assert interval == pytest.approx(tuple(ends), abs=0.03)


def test_the_estimates_are_inside() -> None:
    scores = score(CONFUSIONS, ("a", "b", "c"))
    for way in ("pooled", "per_image"):
        for name in RATIOS:
            measure, bounds = (getattr(getattr(each, way), name) for each in (scores, FOUND))
            assert bounds.mean.low < measure.mean < bounds.mean.high


def test_one_group_has_no_intervals() -> None:
    found = score_intervals(CONFUSIONS, SURFACES, ["a"] * 8, seed=0, resamples=20)
    assert found.units == 1
    assert found.pooled.iou.per_class == (None, None, None)
    assert found.per_image.dice.mean is None
    assert found.pooled.pixel_accuracy is None
    assert found.hd95.mean_foreground is None


def test_a_class_in_one_case_alone_has_none() -> None:
    truths = np.zeros((4, 3, 3), int)
    truths[:, 0] = 1
    truths[0, 1] = 2
    confusions = confusion_matrices(truths, truths, 3)
    surfaces = [surface_distances(each, each, 3) for each in truths]
    found = score_intervals(confusions, surfaces, [None] * 4, seed=0, resamples=50)
    assert found.pooled.iou.per_class == ((1.0, 1.0), (1.0, 1.0), None)
    assert found.assd.per_class == ((0.0, 0.0), (0.0, 0.0), None)


def test_refuses_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="do not belong"):
        score_intervals(CONFUSIONS, SURFACES, GROUPS[:-1], seed=0)
    with pytest.raises(ValueError, match="do not belong"):
        score_intervals(CONFUSIONS, SURFACES[1:], GROUPS, seed=0)
