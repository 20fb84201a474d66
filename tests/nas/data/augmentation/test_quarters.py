from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from nas.data.augmentation.quarters import draw_quarter, mirrored_quarter
from nas.data.augmentation.sample import Sample

MakeSample = Callable[..., Sample]


def by_definition(pixels: np.ndarray, row: int, column: int) -> np.ndarray:
    """Cut out the quarter, put its mirror image to its right, then that of both below."""
    height, width = pixels.shape
    tall, wide = (height + 1) // 2, (width + 1) // 2
    quarter = pixels[-tall:] if row else pixels[:tall]
    quarter = quarter[:, -wide:] if column else quarter[:, :wide]
    upper = np.concatenate([quarter, quarter[:, ::-1][:, width % 2 :]], axis=1)
    return np.concatenate([upper, upper[::-1][height % 2 :]], axis=0)


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 7), (5, 3), (1, 2), (1, 1)])
def test_quarter_mirrored_to_the_right_and_down(
    make_sample: MakeSample, size: tuple[int, int]
) -> None:
    sample = make_sample(*size)
    assert sample.weights is not None
    for row in (0, 1):
        for column in (0, 1):
            found = mirrored_quarter(sample, row, column)
            assert found.size == size and found.weights is not None
            for mine, stored in (
                (found.image[2], sample.image[2]),
                (found.labels, sample.labels),
                (found.weights, sample.weights),
            ):
                expected = by_definition(stored.numpy(), row, column)
                np.testing.assert_array_equal(mine.numpy(), expected)


def test_a_small_one_in_full() -> None:
    labels = torch.arange(16).view(4, 4)
    found = mirrored_quarter(Sample(labels[None] / 16, labels, None), 1, 0).labels
    assert found.tolist() == [[8, 9, 9, 8], [12, 13, 13, 12], [12, 13, 13, 12], [8, 9, 9, 8]]


def test_share_and_quarters_come_as_often_as_they_should() -> None:
    generator = torch.Generator().manual_seed(5)
    drawn = Counter(draw_quarter(0.4, generator) for _ in range(4000))
    assert drawn[None] / 4000 == pytest.approx(0.6, abs=0.031)
    assert len(drawn) == 5
    for row in (0, 1):
        for column in (0, 1):
            assert drawn[row, column] / 4000 == pytest.approx(0.1, abs=0.019)


def test_share_of_none_and_of_all() -> None:
    generator = torch.Generator().manual_seed(5)
    assert not any(draw_quarter(0.0, generator) for _ in range(100))
    assert all(draw_quarter(1.0, generator) for _ in range(100))
