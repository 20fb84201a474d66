from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nas.metrics.overlaps import (
    find_objects,
    find_overlaps,
    intersection_over_union,
    largest_of_each,
)

Labels = NDArray[np.int64]
values = st.sampled_from([0, 0, 1, 2, 257, 65_535, 2**31])
labels = arrays(np.int64, (4, 5), elements=values)
quick = settings(max_examples=25, deadline=None)


@quick
@given(labels, labels)
def test_counts_are_those_of_a_counter(prediction: Labels, truth: Labels) -> None:
    found = find_overlaps(prediction, truth)
    pairs = zip(
        found.predicted.labels[found.predicted_index],
        found.true.labels[found.true_index],
        strict=True,
    )
    expected = Counter(zip(prediction.flat, truth.flat, strict=True))
    assert dict(zip(pairs, found.pixels, strict=True)) == {
        pair: pixels for pair, pixels in expected.items() if 0 not in pair
    }
    for objects, image in ((found.predicted, prediction), (found.true, truth)):
        areas = Counter(image.flat)
        del areas[0]
        assert dict(zip(objects.labels, objects.areas, strict=True)) == areas
        assert list(objects.labels) == sorted(areas)
        assert np.array_equal(np.append(0, objects.labels)[objects.image], image)


@quick
@given(labels, labels)
def test_intersection_over_union(prediction: Labels, truth: Labels) -> None:
    found = find_overlaps(prediction, truth)
    expected = [
        ((prediction == one) & (truth == other)).sum()
        / ((prediction == one) | (truth == other)).sum()
        for one in found.predicted.labels
        for other in found.true.labels
        if ((prediction == one) & (truth == other)).any()
    ]
    np.testing.assert_allclose(intersection_over_union(found), expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_every_integer_type_and_its_largest_label(kind: type[np.integer]) -> None:
    largest = np.iinfo(kind).max
    found = find_overlaps(np.array([[0, largest, 1]], kind), np.array([[1, 2, 0]], np.int64))
    assert [int(label) for label in found.predicted.labels] == [1, largest]
    assert (found.predicted_index, found.true_index, found.pixels) == ([1], [1], [1])


def test_labels_that_are_equal_modulo_256_are_different_objects() -> None:
    found = find_objects(np.array([[1, 257, 256]], np.uint16))
    assert list(found.labels) == [1, 256, 257]
    assert found.image.tolist() == [[1, 3, 2]]


def test_image_without_background() -> None:
    found = find_objects([[7, 7], [3, 7]])
    assert (list(found.labels), list(found.areas)) == ([3, 7], [1, 3])
    assert found.image.tolist() == [[2, 2], [1, 2]]


def test_image_without_objects() -> None:
    found = find_overlaps(np.zeros((2, 3), int), np.ones((2, 3), int))
    assert len(found.predicted.labels) == len(found.pixels) == 0
    assert list(found.true.areas) == [6]


def test_largest_of_each_takes_the_first_of_equals() -> None:
    found = largest_of_each(np.array([2, 0, 2, 2, 0]), [1.0, 5.0, 3.0, 3.0, 4.0], 4)
    assert list(found) == [1, -1, 2, -1]


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.ones((2, 2), bool)])
def test_labels_must_be_integers(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be integers"):
        find_objects(bad)


def test_labels_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="found -1"):
        find_objects([[-1, 2]])


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        find_overlaps(np.zeros((2, 3), int), np.zeros((3, 2), int))
