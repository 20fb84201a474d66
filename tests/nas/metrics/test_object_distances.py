import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import directed_hausdorff
from skimage.metrics import hausdorff_distance

from nas.metrics.object_distances import Shapes, distance_to_nearest, hausdorff
from nas.metrics.overlaps import find_objects

Labels = NDArray[np.int64]
labels = arrays(np.int64, (9, 10), elements=st.sampled_from([0, 0, 1, 2, 300]))
masks = arrays(np.int64, (9, 10), elements=st.integers(0, 1))
quick = settings(max_examples=25, deadline=None)


def shapes(image: Labels) -> Shapes:
    return Shapes(find_objects(image))


def by_definition(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Over all pairs of pixels."""
    first, second = np.argwhere(one), np.argwhere(other)
    distances = np.linalg.norm(first[:, None] - second[None], axis=-1)
    return float(max(distances.min(0).max(), distances.min(1).max()))


@quick
@given(labels, labels)
def test_hausdorff_by_the_definition(one: Labels, other: Labels) -> None:
    first, second = shapes(one), shapes(other)
    for i, label in enumerate(np.unique(one[one > 0])):
        distances = [
            by_definition(one == label, other == partner) for partner in np.unique(other[other > 0])
        ]
        found = [hausdorff(first, i, second, j) for j in range(len(distances))]
        assert found == pytest.approx(distances)
        if distances:
            assert distance_to_nearest(first, i, second) == pytest.approx(min(distances))


@quick
@given(masks, masks)
def test_hausdorff_equals_that_of_other_libraries(one: Labels, other: Labels) -> None:
    assume(one.any() and other.any())
    found = hausdorff(shapes(one), 0, shapes(other), 0)
    assert found == pytest.approx(hausdorff_distance(one > 0, other > 0))
    points = np.argwhere(one), np.argwhere(other)
    sides = directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0]
    assert found == pytest.approx(max(sides))


def disk(radius: float, row: int = 30, column: int = 30) -> Labels:
    y, x = np.mgrid[:61, :61]
    return (np.hypot(y - row, x - column) <= radius).astype(np.int64)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (disk(20), disk(20) - disk(18)),
        (disk(20) - disk(10), disk(3)),
        (disk(25) - disk(8, 34, 20), disk(5, 33, 22)),
        (disk(6, 10, 10), disk(9, 50, 40)),
        (np.ones((61, 61), int) - disk(28), disk(4, 20, 35)),
    ],
)
def test_larger_shapes_by_the_definition(one: Labels, other: Labels) -> None:
    expected = by_definition(one > 0, other > 0)
    assert hausdorff(shapes(one), 0, shapes(other), 0) == pytest.approx(expected)


def test_all_pixels_count_not_only_the_surface() -> None:
    ring, filled = disk(20) - disk(18), disk(20)
    assert hausdorff(shapes(ring), 0, shapes(filled), 0) == pytest.approx(math.hypot(19, 0), abs=1)


def test_objects_of_a_volume() -> None:
    generator = np.random.default_rng(1)
    one, other = (generator.random((2, 5, 6, 7)) < 0.15).astype(np.int64)
    expected = by_definition(one > 0, other > 0)
    assert hausdorff(shapes(one), 0, shapes(other), 0) == pytest.approx(expected)


def test_nearest_is_by_hausdorff_distance_not_by_the_gap() -> None:
    one, other = np.zeros((1, 40), int), np.zeros((1, 40), int)
    one[0, 10:12] = 1
    other[0, 12:40] = 1
    other[0, 4:6] = 2
    assert distance_to_nearest(shapes(one), 0, shapes(other)) == 6


def test_nothing_to_be_near_to() -> None:
    with pytest.raises(ValueError, match="no object"):
        distance_to_nearest(shapes(disk(3)), 0, shapes(np.zeros((61, 61), int)))
