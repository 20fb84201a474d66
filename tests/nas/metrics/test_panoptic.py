import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_panoptic_quality
from numpy.typing import NDArray

from nas.metrics.overlaps import find_overlaps
from nas.metrics.panoptic import (
    detection_quality,
    panoptic_quality,
    panoptic_sums,
    segmentation_quality,
)

Labels = NDArray[np.int64]
labels = arrays(np.int64, (5, 6), elements=st.sampled_from([0, 1, 2, 3]))
quick = settings(max_examples=25, deadline=None)


def moved(image: Labels, changes: Labels) -> Labels:
    """The image with the first pixels replaced, so that matches are frequent."""
    return np.concatenate([changes[:2], image[2:]])


@quick
@given(labels, labels)
def test_by_the_definition(truth: Labels, changes: Labels) -> None:
    prediction = moved(truth, changes)
    names = [label for label in np.unique(prediction) if label]
    true_names = [label for label in np.unique(truth) if label]
    values = [
        ((prediction == one) & (truth == other)).sum()
        / ((prediction == one) | (truth == other)).sum()
        for one in names
        for other in true_names
    ]
    matched = [value for value in values if value > 0.5]
    hits = len(matched)
    expected = [hits, len(names) - hits, len(true_names) - hits, sum(matched)]
    np.testing.assert_allclose(panoptic_sums(find_overlaps(prediction, truth)), expected)


@quick
@given(labels, labels)
def test_equal_those_of_monai(truth: Labels, changes: Labels) -> None:
    prediction = moved(truth, changes)
    if not (truth.any() and prediction.any()):
        return
    sums = panoptic_sums(find_overlaps(prediction, truth))
    pair = torch.from_numpy(prediction), torch.from_numpy(truth)
    for name, measure in (("pq", panoptic_quality), ("sq", segmentation_quality)):
        expected = float(compute_panoptic_quality(*pair, metric_name=name))
        assert float(np.nan_to_num(measure(sums))) == pytest.approx(expected, rel=1e-4)
    expected = float(compute_panoptic_quality(*pair, metric_name="rq"))
    assert float(detection_quality(sums)) == pytest.approx(expected, rel=1e-4)


def row(*runs: tuple[int, int]) -> Labels:
    """One row of pixels from (label, length)."""
    return np.array([[label for label, length in runs for _ in range(length)]])


def test_an_iou_of_one_half_is_no_match() -> None:
    sums = panoptic_sums(find_overlaps(row((1, 4), (0, 4)), row((1, 8))))
    assert list(sums) == [0, 1, 1, 0]
    sums = panoptic_sums(find_overlaps(row((1, 5), (0, 3)), row((1, 8))))
    assert sums == pytest.approx([1, 0, 0, 5 / 8])


def test_by_hand() -> None:
    """One match with IoU 3/4, one predicted object and two true ones left over."""
    truth = row((900, 4), (0, 2), (70_000, 3), (0, 1), (5, 1))
    prediction = row((2**31, 3), (0, 3), (1, 1), (0, 4))
    sums = panoptic_sums(find_overlaps(prediction, truth))
    assert float(panoptic_quality(sums)) == pytest.approx(0.75 / (1 + 0.5 + 1))
    assert float(segmentation_quality(sums)) == pytest.approx(0.75)
    assert float(detection_quality(sums)) == pytest.approx(1 / 2.5)


def test_undefined() -> None:
    empty, filled = row((0, 4)), row((1, 4))
    nothing = panoptic_sums(find_overlaps(empty, empty))
    assert math.isnan(float(panoptic_quality(nothing)))
    assert math.isnan(float(detection_quality(nothing)))
    for pair in ((empty, filled), (filled, empty)):
        sums = panoptic_sums(find_overlaps(*pair))
        assert float(panoptic_quality(sums)) == float(detection_quality(sums)) == 0
        assert math.isnan(float(segmentation_quality(sums)))


def test_stacks() -> None:
    stack = np.array([[1, 0, 0, 0.75], [0, 0, 0, 0], [2, 2, 0, 1.5]])
    np.testing.assert_allclose(panoptic_quality(stack), [0.75, np.nan, 0.5])
