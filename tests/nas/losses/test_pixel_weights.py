"""Weights and weighted cross-entropy against sums written out, and against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from nas.data.cases import UNKNOWN
from nas.losses.pixel_weights import (
    class_frequency_weights,
    weighted_cross_entropy,
)

LABELS = np.array([[0, 0, 0, 2], [0, 0, 0, 2], [0, 0, 4, 2]], dtype=np.uint8)


def test_frequency_weights_by_hand() -> None:
    """Eight pixels of background, three of class 2, one of class 4; classes 1 and 3 are absent."""
    expected = np.select([LABELS == 0, LABELS == 2], [1 / 8, 1 / 3], 1.0)
    found = class_frequency_weights(LABELS, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.max() == 1.0


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_all_classes_present_have_the_same_sum(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (7, 9)) * rng.integers(0, 2, (7, 9))
    weights = class_frequency_weights(labels, classes)
    present = np.unique(labels)
    rarest = min((labels == name).sum() for name in present)
    for name in present:
        assert weights[labels == name].sum() == pytest.approx(rarest, rel=1e-5)


def test_an_image_of_one_class_counts_1_everywhere() -> None:
    assert (class_frequency_weights(np.full((3, 3), 2), 3) == 1).all()


@pytest.mark.parametrize("labels", [np.full((2, 2), 5), np.full((2, 2), -1), np.zeros((2, 2))])
def test_other_labels_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ValueError):
        class_frequency_weights(labels, 5)


def test_cross_entropy_is_the_sum_of_livne_over_the_pixels() -> None:
    """-sum w(x) log Q(x, y(x)) over an image, divided by the pixels."""
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    labels = torch.randint(3, (2, 4, 5))
    weights = torch.rand(2, 4, 5, dtype=torch.float64) * 3
    total = 0.0
    for n in range(2):
        for y in range(4):
            for x in range(5):
                scores = [math.exp(value) for value in logits[n, :, y, x].tolist()]
                chosen = scores[int(labels[n, y, x])] / sum(scores)
                total -= float(weights[n, y, x]) * math.log(chosen)
    found = weighted_cross_entropy(logits, labels, weights)
    assert float(found) == pytest.approx(total / 40, rel=1e-12)


def test_weights_of_1_and_none_are_the_plain_cross_entropy() -> None:
    logits = torch.randn(3, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(4, (3, 6, 5))
    (expected,) = torch.autograd.grad(cross_entropy(logits, labels), logits)
    for weights in (None, torch.ones(3, 6, 5)):
        loss = weighted_cross_entropy(logits, labels, weights)
        torch.testing.assert_close(loss, cross_entropy(logits, labels), rtol=1e-12, atol=0)
        (gradient,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(gradient, expected)


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="weights"):
        weighted_cross_entropy(
            torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64), torch.ones(4, 4)
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_unknown_pixels_do_not_count(weighted: bool) -> None:
    """The mean over the known pixels, gathered one by one."""
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (2, 4, 5))
    weights = torch.rand(2, 4, 5, dtype=torch.float64) if weighted else None
    known = torch.rand(2, 4, 5) < 0.6
    marked = labels.masked_fill(~known, UNKNOWN)
    each = cross_entropy(logits.movedim(1, -1)[known], labels[known], reduction="none")
    expected = (each if weights is None else weights[known] * each).mean()
    found = weighted_cross_entropy(logits, marked, weights)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, logits)
    assert not gradient.movedim(1, -1)[~known].any()


@pytest.mark.parametrize("weights", [None, torch.ones(1, 2, 2)])
def test_where_nothing_is_known_the_loss_is_zero(weights: torch.Tensor | None) -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = weighted_cross_entropy(logits, torch.full((1, 2, 2), UNKNOWN), weights)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and not logits.grad.any()


def test_frequency_weights_of_unknown_pixels_are_zero() -> None:
    """And those of the others are as if the unknown ones were not there."""
    marked = LABELS.copy()
    marked[:, :2] = UNKNOWN
    found = class_frequency_weights(marked, 5)
    assert not found[:, :2].any()
    np.testing.assert_array_equal(found[:, 2:], class_frequency_weights(LABELS[:, 2:], 5))
