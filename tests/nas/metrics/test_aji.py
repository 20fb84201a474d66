import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nas.metrics.aji import aji, aji_sums
from nas.metrics.overlaps import find_overlaps

Labels = NDArray[np.int64]
labels = arrays(np.int64, (5, 6), elements=st.sampled_from([0, 0, 1, 2, 257, 2**31]))


def aji_of(prediction: Labels, truth: Labels) -> float:
    return float(aji(aji_sums(find_overlaps(prediction, truth))))


def by_definition(prediction: Labels, truth: Labels) -> float:
    """The published algorithm, on masks."""
    regions = [prediction == label for label in np.unique(prediction) if label]
    used: set[int] = set()
    intersection = union = 0
    for true in [truth == label for label in np.unique(truth) if label]:
        values = [(true & one).sum() / (true | one).sum() for one in regions]
        best = int(np.argmax(values)) if values else -1
        if best < 0 or values[best] == 0:
            union += true.sum()
            continue
        used.add(best)
        intersection += (true & regions[best]).sum()
        union += (true | regions[best]).sum()
    union += sum(region.sum() for index, region in enumerate(regions) if index not in used)
    return intersection / union if union else math.nan


@settings(max_examples=25, deadline=None)
@given(labels, labels)
def test_by_the_definition(prediction: Labels, truth: Labels) -> None:
    np.testing.assert_allclose(aji_of(prediction, truth), by_definition(prediction, truth))


def row(*runs: tuple[int, int]) -> Labels:
    """One row of pixels from (label, length)."""
    return np.array([[label for label, length in runs for _ in range(length)]])


def test_by_hand() -> None:
    """The first two are a pair, the third true one is missed, the fourth predicted one is free."""
    truth = row((1, 4), (0, 2), (2, 3), (0, 5))
    prediction = row((0, 1), (1, 5), (0, 4), (2, 4))
    assert aji_of(prediction, truth) == pytest.approx(3 / (6 + 3 + 4))


def test_one_predicted_object_may_be_taken_twice() -> None:
    """A pairing one to one would give 3 / (6 + 3)."""
    assert aji_of(row((1, 6)), row((1, 3), (2, 3))) == pytest.approx(6 / 12)


def test_the_largest_iou_decides_not_the_largest_overlap() -> None:
    truth = row((0, 2), (1, 9), (0, 20))
    prediction = row((0, 2), (1, 4), (2, 25))
    assert aji_of(prediction, truth) == pytest.approx(4 / (9 + 25))


def test_free_predicted_objects_cost_their_area() -> None:
    truth = row((1, 4), (0, 4))
    assert aji_of(row((1, 4), (0, 1), (2, 3)), truth) == pytest.approx(4 / 7)


def test_missing_objects() -> None:
    empty, filled = row((0, 4)), row((1, 4))
    assert aji_of(empty, filled) == aji_of(filled, empty) == 0
    assert math.isnan(aji_of(empty, empty))
    assert aji_of(filled, filled) == 1
