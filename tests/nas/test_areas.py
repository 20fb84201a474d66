"""Areas under curves of probabilities, against scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from nas.areas import Areas, class_areas
from nas.metrics.curves import thresholds

RNG = np.random.default_rng(0)
TRUTHS = [RNG.integers(0, 3, (8, 6)) for _ in range(4)]
SCORES = [np.round(RNG.random((8, 6)) + (truth == 2), 1) for truth in TRUTHS]


def areas(scores: Sequence[np.ndarray], truths: Sequence[np.ndarray], label: int = 2) -> Areas:
    pairs = zip(scores, truths, strict=True)
    return class_areas([thresholds(score, truth == label) for score, truth in pairs])


def test_pooled_and_per_image_are_those_of_scikit_learn() -> None:
    found = areas(SCORES, TRUTHS)
    pairs = [
        ((truth == 2).ravel(), each.ravel()) for truth, each in zip(TRUTHS, SCORES, strict=True)
    ]
    pooled = [np.concatenate(parts) for parts in zip(*pairs, strict=True)]
    assert found.roc_auc == pytest.approx(roc_auc_score(*pooled))
    assert found.average_precision == pytest.approx(average_precision_score(*pooled))
    assert found.roc_auc_per_image == pytest.approx(np.mean([roc_auc_score(*p) for p in pairs]))
    expected = np.mean([average_precision_score(*pair) for pair in pairs])
    assert found.average_precision_per_image == pytest.approx(expected)


def test_an_image_without_the_class_counts_in_the_pooled_area_alone() -> None:
    truths = [*TRUTHS, np.zeros((8, 6), dtype=int)]
    scores = [*SCORES, np.full((8, 6), 0.5)]
    found, before = areas(scores, truths), areas(SCORES, TRUTHS)
    assert found.roc_auc_per_image == before.roc_auc_per_image
    assert found.roc_auc != before.roc_auc


def test_a_class_that_does_not_occur_has_no_area() -> None:
    found = areas(SCORES, TRUTHS, 5)
    assert (found.roc_auc, found.average_precision_per_image) == (None, None)


def test_images_may_differ_in_size() -> None:
    halves = [part for each in TRUTHS for part in (each[:2], each[2:])]
    scores = [part for each in SCORES for part in (each[:2], each[2:])]
    found, whole = areas(scores, halves), areas(SCORES, TRUTHS)
    assert found.roc_auc == pytest.approx(whole.roc_auc)
    assert found.average_precision == pytest.approx(whole.average_precision)
    assert found.roc_auc_per_image != whole.roc_auc_per_image
