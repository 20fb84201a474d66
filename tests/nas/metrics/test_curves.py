"""Areas against scikit-learn, and against the count of all pairs of pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_curve

from nas.metrics.curves import (
    Thresholds,
    areas_of,
    average_precision,
    merged,
    per_image,
    roc_auc,
    roc_curve,
    roc_curve_of,
    thresholds,
)
from nas.metrics.semantic import mean_defined

PIXELS = st.lists(
    st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40
)


@given(pixels=PIXELS)
@settings(max_examples=25, deadline=None)
def test_areas_are_those_of_scikit_learn(pixels: list[tuple[int, bool, int]]) -> None:
    """Scores of six values are full of ties."""
    scores, truth, weights = (np.array(each) for each in zip(*pixels, strict=True))
    for counted in (None, weights, weights > 0):
        kept = truth if counted is None else truth[counted > 0]
        if len(set(kept.tolist())) < 2:
            continue
        assert roc_auc(scores, truth, counted) == pytest.approx(
            roc_auc_score(truth, scores, sample_weight=counted)
        )
        assert average_precision(scores, truth, counted) == pytest.approx(
            average_precision_score(truth, scores, sample_weight=counted)
        )


@given(pixels=PIXELS)
@settings(max_examples=25, deadline=None)
def test_roc_auc_counts_pairs(pixels: list[tuple[int, bool, int]]) -> None:
    ours = [score for score, truth, _ in pixels if truth]
    others = [score for score, truth, _ in pixels if not truth]
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(ours, others)]
    found = roc_auc([score for score, _, _ in pixels], [truth for _, truth, _ in pixels])
    assert found == pytest.approx(np.mean(pairs)) if pairs else math.isnan(found)


def test_the_curve_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random((20, 30)) < 0.2, rng.integers(0, 9, (20, 30)) / 9
    expected = sklearn_curve(truth.ravel(), scores.ravel(), drop_intermediate=False)
    for found, reference in zip(roc_curve(scores, truth), expected[:2], strict=True):
        np.testing.assert_allclose(found, reference)


def test_pixels_outside_the_field_of_view_may_be_anything() -> None:
    scores = np.array([[0.9, 0.1, np.nan], [0.4, 0.6, 0.0]])
    truth = np.array([[1, 0, 7], [1, 0, 1]])
    view = np.array([[True, True, False], [True, True, False]])
    assert roc_auc(scores, truth, view) == 0.75
    assert average_precision(scores, truth, view) == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(ValueError, match="finite"):
        roc_auc(scores, truth)


def test_images_pooled_and_one_by_one_differ() -> None:
    """In each image the order is right; between them the scores are not comparable."""
    scores = np.array([[0.1, 0.2], [0.8, 0.9]])
    truth = np.array([[0, 1], [0, 1]])
    assert per_image(roc_auc, scores, truth).tolist() == [1.0, 1.0]
    assert roc_auc(scores, truth) == 0.75


def test_images_of_one_kind_are_left_out_of_the_mean() -> None:
    scores, truth = [[0.1, 0.2], [0.3, 0.4]], [[1, 0], [0, 0]]
    values = per_image(roc_auc, scores, truth)
    assert values[0] == 0
    assert math.isnan(values[1])
    assert mean_defined(values) == 0
    views = [[True, True], [True, False]]
    assert math.isnan(per_image(average_precision, scores, truth, views)[1])


def test_what_is_undefined_is_nan() -> None:
    assert math.isnan(roc_auc([0.1, 0.2], [1, 1]))
    assert math.isnan(roc_auc([], []))
    assert math.isnan(roc_auc([0.1, 0.2], [0, 0]))
    assert math.isnan(average_precision([], []))
    assert average_precision([0.1, 0.2], [1, 1]) == 1
    assert math.isnan(average_precision([0.1, 0.2], [0, 0]))


@pytest.mark.parametrize("area", [roc_auc, average_precision])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.1, 0.2], [0, 1, 1]), "differ in shape"),
        (([0.1, 0.2], [0, 1], [1]), "differ in shape"),
        (([0.1, math.inf], [0, 1]), "finite"),
        (([0.1, 0.2], [0, 2]), "0 or 1"),
        (([0.1, 0.2], [0, 1], [1, -1]), "weights"),
        (([0.1, 0.2], [0, 1], [1, math.nan]), "weights"),
    ],
)
def test_refuses(area: Callable[..., float], arguments: tuple[list[float]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        area(*arguments)


def test_millions_of_pixels_are_counted_exactly() -> None:
    """Scores 0..n-1, of which every second is of the class: n / 2 choose pairs in closed form."""
    count = 1_000_000
    scores, truth = np.arange(count), np.arange(count) % 2
    half = count // 2
    assert roc_auc(scores, truth) == pytest.approx((half + 1) / (2 * half), rel=1e-12)


def test_thresholds_are_the_distinct_scores() -> None:
    scores = np.array([[0.5, 0.25, 0.5], [0.75, 0.5, np.nan]], np.float32)
    found = thresholds(scores, [[1, 0, 0], [0, 1, 5]], [[1, 1, 1], [2, 1, 0]])
    assert found.scores.dtype == np.float32
    assert found.scores.tolist() == [0.75, 0.5, 0.25]
    assert found.hits.tolist() == [0, 2, 0]
    assert found.false_alarms.tolist() == [2, 1, 1]


@given(pixels=PIXELS)
@settings(max_examples=25, deadline=None)
def test_merged_images_are_one(pixels: list[tuple[int, bool, int]]) -> None:
    scores, truth, image = (np.array(each) for each in zip(*pixels, strict=True))
    images = [thresholds(scores[image == n], truth[image == n]) for n in set(image.tolist())]
    whole = thresholds(scores, truth)
    found = merged(images)
    assert isinstance(found, Thresholds)
    for part, expected in zip(found, whole, strict=True):
        assert part.tolist() == expected.tolist()
    assert areas_of(found) == pytest.approx(
        (roc_auc(scores, truth), average_precision(scores, truth)), nan_ok=True
    )
    for rates, expected in zip(roc_curve_of(found), roc_curve(scores, truth), strict=True):
        np.testing.assert_array_equal(rates, expected)
