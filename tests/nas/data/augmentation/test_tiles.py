from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.augmentation.tiles import cut, join


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_cut_and_joined_is_the_same(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 13)), data.draw(st.integers(1, 13))
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    leading = data.draw(st.sampled_from([(), (3,), (2, 3)]))
    picture = torch.rand(*leading, height, width)
    tiles = cut(picture, rows, columns)
    assert len(tiles) == rows * columns
    assert torch.equal(join(tiles, rows, columns), picture)
    heights = {tile.shape[-2] for tile in tiles}
    widths = {tile.shape[-1] for tile in tiles}
    assert max(heights) - min(heights) <= 1 and max(widths) - min(widths) <= 1


def test_line_by_line_the_first_tiles_larger() -> None:
    picture = torch.arange(15).view(3, 5)
    tiles = [tile.tolist() for tile in cut(picture, 2, 2)]
    assert tiles == [[[0, 1, 2], [5, 6, 7]], [[3, 4], [8, 9]], [[10, 11, 12]], [[13, 14]]]


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 0), (4, 1), (1, 6), (-1, -1)])
def test_more_tiles_than_pixels_are_refused(rows: int, columns: int) -> None:
    with pytest.raises(ValueError, match="of a picture of 3x5 pixels"):
        cut(torch.zeros(3, 5), rows, columns)


def test_missing_tiles_are_refused() -> None:
    tiles = cut(torch.zeros(4, 4), 2, 2)
    for rows, columns in ((2, 1), (3, 2), (-2, -2), (0, 4)):
        with pytest.raises(ValueError, match="4 tiles do not fill"):
            join(tiles, rows, columns)
