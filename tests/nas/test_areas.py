"""Areas under curves of probabilities, against scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from nas.areas import class_areas, probabilities
from nas.preparation import Data

RNG = np.random.default_rng(0)
TRUTHS = [RNG.integers(0, 3, (8, 6)) for _ in range(4)]
SCORES = [np.round(RNG.random((8, 6)) + (truth == 2), 1) for truth in TRUTHS]


def test_pooled_and_per_image_are_those_of_scikit_learn() -> None:
    found = class_areas(SCORES, TRUTHS, 2)
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
    found, before = class_areas(scores, truths, 2), class_areas(SCORES, TRUTHS, 2)
    assert found.roc_auc_per_image == before.roc_auc_per_image
    assert found.roc_auc != before.roc_auc


def test_a_class_that_does_not_occur_has_no_area() -> None:
    found = class_areas(SCORES, TRUTHS, 5)
    assert (found.roc_auc, found.average_precision_per_image) == (None, None)


def test_probabilities_are_those_of_the_evaluation_mode(discs: Callable[..., Data]) -> None:
    samples = discs(test=3).samples("test", torch.device("cpu"))
    network = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(1, 2, 1)).train()
    found = probabilities(network, samples)
    expected = network[1](samples.batch(samples.ids).images).softmax(1).detach().numpy()
    assert np.allclose(np.stack(found), expected, atol=1e-6)
    assert network.training
