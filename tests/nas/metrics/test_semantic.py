import json
import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn import metrics as oracle

from nas.metrics.semantic import (
    Scores,
    confusion_matrices,
    confusion_matrix,
    dice,
    iou,
    mean_defined,
    pixel_accuracy,
    precision,
    recall,
    score,
)

CLASSES = 4
Labels = NDArray[np.int64]
labels = arrays(np.int64, (3, 4, 5), elements=st.integers(0, CLASSES - 1))
quick = settings(max_examples=40, deadline=None)


@quick
@given(labels, labels)
def test_confusion_matrix(prediction: Labels, truth: Labels) -> None:
    expected = oracle.confusion_matrix(truth.ravel(), prediction.ravel(), labels=range(CLASSES))
    assert np.array_equal(confusion_matrix(prediction, truth, CLASSES), expected)


@quick
@given(labels, labels)
def test_scores_of_classes(prediction: Labels, truth: Labels) -> None:
    confusion = confusion_matrix(prediction, truth, CLASSES)
    expected_precision, expected_recall, expected_f1, _ = oracle.precision_recall_fscore_support(
        truth.ravel(), prediction.ravel(), labels=range(CLASSES), zero_division=np.nan
    )
    np.testing.assert_allclose(precision(confusion), expected_precision)
    np.testing.assert_allclose(recall(confusion), expected_recall)
    np.testing.assert_allclose(dice(confusion), expected_f1)
    accuracy = oracle.accuracy_score(truth.ravel(), prediction.ravel())
    assert float(pixel_accuracy(confusion)) == pytest.approx(accuracy)


@quick
@given(labels, labels)
def test_iou_of_classes(prediction: Labels, truth: Labels) -> None:
    found = iou(confusion_matrix(prediction, truth, CLASSES))
    expected = oracle.jaccard_score(
        truth.ravel(), prediction.ravel(), labels=range(CLASSES), average=None, zero_division=0
    )
    absent = [c not in truth and c not in prediction for c in range(CLASSES)]
    np.testing.assert_allclose(found, np.where(absent, np.nan, expected))


@quick
@given(labels, labels)
def test_pooled_and_per_image_means(prediction: Labels, truth: Labels) -> None:
    names = ("background", "a", "b", "c")
    scores = score(confusion_matrices(prediction, truth, CLASSES), names)
    assert scores.images == 3

    def jaccard(image: Labels, of: Labels, first: int) -> float:
        """Mean over the classes from ``first`` on that are in the truth or the prediction."""
        present = [c for c in range(first, CLASSES) if c in image or c in of]
        flat = of.ravel(), image.ravel()
        return (
            float(oracle.jaccard_score(*flat, labels=present, average="macro", zero_division=0))
            if present
            else math.nan
        )

    for first, name in ((0, "mean"), (1, "mean_foreground")):
        pooled = jaccard(prediction, truth, first)
        images = [jaccard(p, t, first) for p, t in zip(prediction, truth, strict=True)]
        assert number(getattr(scores.pooled.iou, name)) == pytest.approx(pooled, nan_ok=True)
        assert number(getattr(scores.per_image.iou, name)) == pytest.approx(
            mean_of_numbers(images), nan_ok=True
        )


def test_scores_by_hand() -> None:
    """Two images, two classes; the class is not in the second one."""
    truths = np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]])
    predictions = np.array([[[0, 1], [1, 0]], [[0, 0], [0, 0]]])
    scores = score(confusion_matrices(predictions, truths, 2), ("background", "cell"))
    assert scores.pooled.iou.per_class == pytest.approx((5 / 6, 2 / 3))
    assert scores.pooled.dice.per_class == pytest.approx((10 / 11, 4 / 5))
    assert scores.pooled.precision.per_class == pytest.approx((5 / 6, 1.0))
    assert scores.pooled.recall.per_class == pytest.approx((1.0, 2 / 3))
    assert scores.pooled.pixel_accuracy == pytest.approx(7 / 8)
    assert scores.per_image.iou.per_class == pytest.approx((3 / 4, 2 / 3))
    assert scores.per_image.iou.mean == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    assert scores.per_image.iou.mean_foreground == pytest.approx(2 / 3)
    assert scores.per_image.pixel_accuracy == pytest.approx((3 / 4 + 1) / 2)


def test_class_predicted_but_absent_counts_as_zero() -> None:
    scores = score(confusion_matrices([[[0, 1]]], [[[0, 0]]], 2), ("background", "cell"))
    assert scores.pooled.iou.per_class == (0.5, 0.0)
    assert scores.pooled.recall.per_class == (0.5, None)


@pytest.mark.parametrize("ratio", [iou, dice, precision, recall])
def test_stacks_of_matrices(ratio: Callable[..., NDArray[np.float64]]) -> None:
    matrices = np.random.default_rng(0).integers(0, 9, (2, 3, CLASSES, CLASSES))
    stacked = ratio(matrices)
    assert stacked.shape == (2, 3, CLASSES)
    np.testing.assert_allclose(stacked[1, 2], ratio(matrices[1, 2]))


def test_mean_leaves_undefined_values_out() -> None:
    values = np.array([[0.2, np.nan, 0.4], [np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(mean_defined(values), [0.3, np.nan])
    np.testing.assert_allclose(mean_defined(values, axis=0), [0.2, np.nan, 0.4])


def test_json_and_back() -> None:
    confusions = confusion_matrices([[[0, 1]]], [[[0, 0]]], 3)
    scores = score(confusions, ("background", "cell", "rim"))
    text = msgspec.json.encode(scores)
    assert msgspec.json.decode(text, type=Scores) == scores
    assert json.loads(text)["pooled"]["iou"]["per_class"] == [0.5, 0.0, None]


def test_tensors() -> None:
    prediction, truth = torch.tensor([[0, 1]]), torch.tensor([[1, 1]])
    assert confusion_matrix(prediction, truth, 2).tolist() == [[0, 0], [1, 1]]


def test_small_integers_do_not_overflow() -> None:
    prediction = np.full((1, 2), 199, np.uint8)
    assert confusion_matrix(prediction, prediction, 200)[199, 199] == 2


@pytest.mark.parametrize("prediction", [[[0, 2]], [[0, -1]], [[0.0, 1.0]], [[0, 1, 1]]])
def test_refuses_what_is_no_labelling(prediction: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="labels must be|differ in shape"):
        confusion_matrix(prediction, [[0, 1]], 2)


@quick
@given(labels, labels, arrays(np.bool_, (3, 4, 5)))
def test_unknown_pixels_are_in_no_matrix(
    prediction: Labels, truth: Labels, known: NDArray[np.bool_]
) -> None:
    found = confusion_matrix(prediction, np.where(known, truth, 255).astype(np.uint8), CLASSES)
    expected = (
        oracle.confusion_matrix(truth[known], prediction[known], labels=range(CLASSES))
        if (known.any())
        else np.zeros((CLASSES, CLASSES))
    )
    assert np.array_equal(found, expected)
    each = confusion_matrices(prediction, np.where(known, truth, 255), CLASSES)
    assert np.array_equal(each.sum(0), found)


def test_unknown_is_no_prediction_and_no_class() -> None:
    with pytest.raises(ValueError, match="labels must be"):
        confusion_matrix([[0, 255]], [[0, 255]], 2)
    with pytest.raises(ValueError, match="256 classes"):
        confusion_matrix([[0]], [[0]], 256)
    assert confusion_matrix([[254]], [[254]], 255)[254, 254] == 1


def test_refuses_batches_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="do not belong"):
        confusion_matrices([[[0]], [[0]]], [[[0]]], 2)


def test_refuses_names_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="2 classes"):
        score(np.zeros((1, 3, 3), np.int64), ("background", "cell"))


def number(value: float | None) -> float:
    return math.nan if value is None else value


def mean_of_numbers(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
