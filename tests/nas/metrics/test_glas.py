import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nas.metrics.glas import detections, dice_sums, hausdorff_sums, object_f1, object_mean
from nas.metrics.overlaps import find_overlaps
from nas.metrics.pooling import mean_per_image, pooled

Labels = NDArray[np.int64]
Set = list[tuple[Labels, Labels]]
labels = arrays(np.int64, (6, 7), elements=st.sampled_from([0, 0, 0, 1, 2, 258, 65_536]))
quick = settings(max_examples=25, deadline=None)
Pixels = frozenset[tuple[int, int]]


def objects(image: Labels) -> list[Pixels]:
    return [
        frozenset((int(row), int(column)) for row, column in np.argwhere(image == label))
        for label in np.unique(image)
        if label != 0
    ]


def partner(one: Pixels, others: list[Pixels]) -> Pixels | None:
    """The first object with the most shared pixels."""
    best = max(others, key=lambda other: len(one & other), default=frozenset())
    return best if one & best else None


def dice(one: Pixels, others: list[Pixels]) -> float:
    other = partner(one, others)
    return 0.0 if other is None else 2 * len(one & other) / (len(one) + len(other))


def distance(one: Pixels, other: Pixels) -> float:
    def directed(some: Pixels, rest: Pixels) -> float:
        return max(min(math.dist(pixel, near) for near in rest) for pixel in some)

    return max(directed(one, other), directed(other, one))


def nearest(one: Pixels, others: list[Pixels]) -> float:
    other = partner(one, others)
    if other is not None:
        return distance(one, other)
    return min((distance(one, candidate) for candidate in others), default=math.hypot(6, 7))


def f1_by_definition(images: Set) -> float:
    hits = predicted = true = 0
    for prediction, truth in images:
        ours, theirs = objects(prediction), objects(truth)
        for one in ours:
            other = partner(one, theirs)
            hits += other is not None and len(one & other) / len(other) > 0.5
        predicted, true = predicted + len(ours), true + len(theirs)
    return 2 * hits / (predicted + true) if predicted + true else math.nan


def mean_by_definition(images: Set, value: Callable[[Pixels, list[Pixels]], float]) -> float:
    halves = []
    for side in (0, 1):
        terms = [
            (len(one), value(one, objects(pair[1 - side])))
            for pair in images
            for one in objects(pair[side])
        ]
        area = sum(size for size, _ in terms)
        if area:
            halves.append(sum(size / area * term for size, term in terms))
    return float(np.mean(halves)) if halves else math.nan


@quick
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=3))
def test_by_the_definition(images: Set) -> None:
    overlaps = [find_overlaps(*pair) for pair in images]
    counts = [detections(one) for one in overlaps]
    assert_same(pooled(object_f1, counts), f1_by_definition(images))
    assert_same(mean_per_image(object_f1, counts), mean([f1_by_definition([i]) for i in images]))
    for sums, value in ((dice_sums, dice), (hausdorff_sums, nearest)):
        tallies = [sums(one) for one in overlaps]
        assert_same(pooled(object_mean, tallies), mean_by_definition(images, value))
        own = [mean_by_definition([image], value) for image in images]
        assert_same(mean_per_image(object_mean, tallies), mean(own))


def assert_same(found: float, expected: float) -> None:
    np.testing.assert_allclose(found, expected, equal_nan=True)


def mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def row(*runs: tuple[int, int]) -> Labels:
    """One row of pixels from (label, length)."""
    return np.array([[label for label, length in runs for _ in range(length)]])


def f1(prediction: Labels, truth: Labels) -> list[int]:
    return list(detections(find_overlaps(prediction, truth)))


def dice_of(prediction: Labels, truth: Labels) -> float:
    return float(object_mean(dice_sums(find_overlaps(prediction, truth))))


def hausdorff_of(prediction: Labels, truth: Labels) -> float:
    return float(object_mean(hausdorff_sums(find_overlaps(prediction, truth))))


def test_covering_half_is_no_detection_and_more_than_half_is() -> None:
    truth = row((1, 10), (0, 2))
    assert f1(row((1, 5), (0, 7)), truth) == [0, 1, 1]
    assert f1(row((1, 6), (0, 6)), truth) == [1, 0, 0]
    assert f1(row((1, 5), (2, 5), (0, 2)), truth) == [0, 2, 1]


def test_only_the_object_with_most_shared_pixels_can_be_detected() -> None:
    truth = row((1, 20), (2, 3))
    prediction = row((0, 15), (1, 8))
    assert f1(prediction, truth) == [0, 1, 2]


def test_of_equal_overlaps_the_lowest_label_is_the_partner() -> None:
    prediction = row((0, 1), (1, 4))
    assert f1(prediction, row((5, 3), (9, 2))) == [1, 0, 1]
    assert f1(prediction, row((9, 3), (5, 2))) == [1, 0, 1]
    assert f1(row((0, 3), (1, 4)), row((5, 5), (9, 2))) == [0, 1, 2]
    assert f1(row((0, 3), (1, 4)), row((9, 5), (5, 2))) == [1, 0, 1]


def test_the_background_is_no_partner() -> None:
    """Most of the predicted object lies on the background."""
    truth, prediction = row((1, 2), (0, 10)), row((1, 12))
    assert f1(prediction, truth) == [1, 0, 0]
    assert dice_of(prediction, truth) == pytest.approx(4 / 14)
    assert hausdorff_of(prediction, truth) == 10


def test_labels_that_are_equal_modulo_256() -> None:
    truth, prediction = row((1, 3), (257, 3), (256, 3)), row((1, 3), (2, 3), (3, 3))
    assert f1(prediction, truth) == [3, 0, 0]
    assert dice_of(prediction, truth) == 1
    assert hausdorff_of(prediction, truth) == 0


def test_object_dice_by_hand() -> None:
    prediction, truth = row((1, 6), (0, 2), (2, 2)), row((1, 8), (0, 2))
    predicted = (6 * 12 / 14 + 2 * 0) / 8
    true = 12 / 14
    assert dice_of(prediction, truth) == pytest.approx((predicted + true) / 2)


def test_object_hausdorff_by_hand() -> None:
    """The second predicted object overlaps nothing; its nearest true object is the third."""
    truth = row((1, 4), (0, 6), (2, 2), (0, 8))
    prediction = row((1, 3), (0, 11), (2, 1), (0, 5))
    predicted = (3 * 1 + 1 * 4) / 4
    true = (4 * 1 + 2 * 4) / 6
    assert hausdorff_of(prediction, truth) == pytest.approx((predicted + true) / 2)


def test_objects_on_one_side_only() -> None:
    empty, filled = np.zeros((6, 8), int), np.ones((6, 8), int)
    for pair in ((empty, filled), (filled, empty)):
        assert float(object_f1(detections(find_overlaps(*pair)))) == 0
        assert dice_of(*pair) == 0
        assert hausdorff_of(*pair) == 10


def test_no_objects() -> None:
    empty = np.zeros((6, 8), int)
    assert math.isnan(float(object_f1(detections(find_overlaps(empty, empty)))))
    assert math.isnan(dice_of(empty, empty))
    assert math.isnan(hausdorff_of(empty, empty))


def test_pooled_areas_are_not_those_of_each_image() -> None:
    """A large object found in one image, a small one missed in the other."""
    first = find_overlaps(row((1, 9), (0, 1)), row((1, 9), (0, 1)))
    second = find_overlaps(row((0, 9), (1, 1)), row((1, 1), (0, 9)))
    sums = [dice_sums(first), dice_sums(second)]
    assert pooled(object_mean, sums) == pytest.approx(0.9)
    assert mean_per_image(object_mean, sums) == pytest.approx(0.5)
