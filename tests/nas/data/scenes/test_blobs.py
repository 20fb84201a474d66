import itertools

import numpy as np
import pytest

from nas.data.scenes.blobs import Blob, strew


def _inside(blob: Blob, size: tuple[int, int]) -> np.ndarray:
    picture = np.zeros(size, dtype=bool)
    box, radius = blob.relative_radius(size)
    picture[box] = radius < 1
    return picture


def test_an_unwaved_blob_is_an_ellipse() -> None:
    blob = Blob(row=30.0, column=40.0, long=20.0, short=10.0, angle=0.0)
    rows, columns = np.mgrid[:60, :80]
    ellipse = ((columns - 40) / 20) ** 2 + ((rows - 30) / 10) ** 2 < 1
    np.testing.assert_array_equal(_inside(blob, (60, 80)), ellipse)


def test_the_long_axis_turns_with_the_angle() -> None:
    blob = Blob(row=40.0, column=40.0, long=20.0, short=8.0, angle=np.pi / 2)
    rows, columns = np.nonzero(_inside(blob, (80, 80)))
    assert np.ptp(rows) > 2 * np.ptp(columns)


def test_a_slanted_blob_reaches_farthest_along_its_long_axis() -> None:
    inside = _inside(
        Blob(row=50.0, column=50.0, long=40.0, short=10.0, angle=np.pi / 6), (100, 100)
    )
    along = (50 + 36 * np.sin(np.pi / 6), 50 + 36 * np.cos(np.pi / 6))
    across = (50 + 12 * np.cos(np.pi / 6), 50 - 12 * np.sin(np.pi / 6))
    assert inside[round(along[0]), round(along[1])]
    assert not inside[round(across[0]), round(across[1])]
    assert abs(inside.sum() - np.pi * 40 * 10) < 25


def test_waves_change_the_outline_and_reach_bounds_it() -> None:
    blob = Blob(50.0, 50.0, 20.0, 20.0, 0.0, ((0.2, 0.0), (0.1, 1.0)))
    rows, columns = np.nonzero(_inside(blob, (100, 100)))
    distance = np.hypot(rows - 50, columns - 50)
    assert 22 < distance.max() <= blob.reach


def test_moved_and_scaled() -> None:
    blob = Blob(20.0, 20.0, 10.0, 8.0, 0.4)
    moved = _inside(blob.moved(5, 7), (60, 60))
    np.testing.assert_array_equal(np.roll(_inside(blob, (60, 60)), (5, 7), (0, 1)), moved)
    share = _inside(blob.scaled(0.5), (60, 60)).sum() / _inside(blob, (60, 60)).sum()
    assert 0.2 < share < 0.3


@pytest.mark.parametrize("row", [-500.0, 500.0])
def test_a_blob_outside_of_the_picture_has_an_empty_box(row: float) -> None:
    box, radius = Blob(row, 10.0, 5.0, 5.0, 0.0).relative_radius((30, 30))
    assert radius.size == 0 and np.zeros((30, 30))[box].size == 0


def test_strewn_blobs_keep_their_distance_and_lie_in_the_picture() -> None:
    blobs = strew(np.random.default_rng(3), (200, 300), 12, (10, 20), 5.0, 0.05)
    assert 6 <= len(blobs) <= 12
    for blob in blobs:
        assert blob.short / 0.65 >= 10 and blob.long <= 20
        assert blob.long <= blob.row <= 200 - blob.long
        assert blob.long <= blob.column <= 300 - blob.long
    for a, b in itertools.combinations(blobs, 2):
        assert np.hypot(a.row - b.row, a.column - b.column) > a.long + b.long + 5


def test_there_is_one_blob_even_where_there_is_no_room() -> None:
    assert len(strew(np.random.default_rng(0), (20, 20), 50, (9, 9), 0.0, 0.0)) == 1
