"""Border weights against Eq. 2 written out over all pairs of pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.cases import UNKNOWN
from nas.losses.border_weights import border_weights, objects

CELLS = Path(__file__).parents[4] / "shared/data/usiigaci_phase_contrast"


def by_definition(instances: np.ndarray, w0: float, sigma: float) -> np.ndarray:
    """The distances of every pixel to every pixel of every object, the two least per object."""
    everywhere = np.argwhere(np.ones(instances.shape, dtype=bool)).astype(float)
    numbers = [number for number in np.unique(instances) if number != 0]
    if len(numbers) < 2:
        return np.zeros(instances.shape)
    distances = []
    for number in numbers:
        members = np.argwhere(instances == number)
        offsets = everywhere[:, None, :] - members[None, :, :]
        distances.append(np.hypot(offsets[..., 0], offsets[..., 1]).min(axis=1))
    nearest, second = np.sort(distances, axis=0)[:2]
    return (w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))).reshape(instances.shape)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    count=st.integers(0, 40),
    sigma=st.floats(0.5, 50),
    density=st.floats(0.01, 1),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_definition(
    seed: int, size: tuple[int, int], count: int, sigma: float, density: float
) -> None:
    """Objects of scattered pixels with numbers that leave gaps, touching or far apart."""
    rng = np.random.default_rng(seed)
    instances = rng.integers(0, count + 1, size) * 3 * (rng.random(size) < density)
    found = border_weights(instances, w0=7.0, sigma=sigma)
    assert found.dtype == np.float32 and found.shape == size
    np.testing.assert_allclose(found, by_definition(instances, 7.0, sigma), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 7, 20, 21, 71])
def test_equals_the_definition_at_every_number_of_objects(count: int) -> None:
    rng = np.random.default_rng(count)
    instances = np.zeros((23, 31), dtype=np.uint16)
    places = rng.choice(instances.size, count, replace=False)
    instances.flat[places] = rng.choice(60_000, count, replace=False) + 1
    expected = by_definition(instances, 10.0, 5.0)
    np.testing.assert_allclose(border_weights(instances), expected, rtol=1e-6)


def test_a_gap_between_two_walls() -> None:
    """Walls at columns 0 and 6: in the gap d1 + d2 is 6, on a wall 0 + 6."""
    instances = np.zeros((5, 7), dtype=np.int64)
    instances[:, 0], instances[:, 6] = 1, 2
    expected = 10 * math.exp(-36 / 50)
    np.testing.assert_allclose(border_weights(instances), np.full((5, 7), expected), rtol=1e-6)


def test_zero_with_fewer_than_two_objects() -> None:
    one = np.zeros((6, 6), dtype=np.int32)
    assert not border_weights(one).any()
    one[1:3, 1:3] = one[5, 5] = 9
    assert not border_weights(one).any()


def test_of_real_cells_equals_one_distance_transform_per_cell() -> None:
    if not CELLS.is_dir():
        pytest.skip("no real images here")
    from scipy.ndimage import distance_transform_edt
    from skimage.io import imread

    instances = imread(sorted((CELLS / "instances").iterdir())[0])[:160, :200].astype(np.int64)
    numbers = np.unique(instances)[1:]
    assert len(numbers) > 5
    distances = np.sort([distance_transform_edt(instances != n) for n in numbers], axis=0)
    expected = 10 * np.exp(-((distances[0] + distances[1]) ** 2) / 50)
    np.testing.assert_allclose(border_weights(instances), expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    "instances",
    [np.zeros((2, 2)), np.zeros((2, 2, 2), dtype=int), np.array([[-1, 2]]), np.ones((2, 2), bool)],
)
def test_other_arrays_are_refused(instances: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two-dimensional"):
        border_weights(instances)
    with pytest.raises(ValueError, match="two-dimensional"):
        objects(instances)


@pytest.mark.parametrize(("w0", "sigma"), [(-1.0, 5.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_weights_out_of_range_are_refused(w0: float, sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        border_weights(np.eye(3, dtype=int), w0, sigma)


def flooded(labels: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """The components by flooding from pixel to pixel over the eight neighbours."""
    left = {(y, x) for y, x in np.argwhere(labels > 0).tolist()}
    found = set()
    while left:
        front = [left.pop()]
        component = set(front)
        while front:
            y, x = front.pop()
            around = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            same = {place for place in around if labels[place] == labels[y, x]}
            left -= same
            component |= same
            front += same
        found.add(frozenset(component))
    return found


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_objects_are_the_8_connected_components_of_each_class(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.integers(1, 4, (12, 15)) * (rng.random((12, 15)) < density)).astype(np.uint8)
    found = objects(labels)
    assert found.dtype == np.int32
    numbers = [number for number in np.unique(found) if number != 0]
    assert numbers == list(range(1, len(numbers) + 1))
    components = {
        frozenset((y, x) for y, x in np.argwhere(found == number).tolist()) for number in numbers
    }
    assert components == flooded(labels)


def test_unknown_pixels_are_no_object() -> None:
    labels = np.array([[1, 1, 0, UNKNOWN, UNKNOWN, 0, 2], [1, UNKNOWN, 0, 0, UNKNOWN, 0, 2]])
    found = objects(labels)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, (labels == 1) | (labels == 2))
