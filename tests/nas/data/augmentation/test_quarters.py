from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from nas.data.augmentation.lines import all_lines, copied
from nas.data.augmentation.quarters import Quarters, draw_quarters, mirrored_quarters
from nas.data.augmentation.stack import Stack

MakeStack = Callable[..., Stack]
HALVES = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])


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
    make_stack: MakeStack, size: tuple[int, int]
) -> None:
    stack = make_stack(*size, count=4)
    quarters = Quarters(torch.ones(4, dtype=torch.bool), HALVES)
    found = copied(stack, mirrored_quarters(all_lines(4, size), quarters))
    assert found.size == size
    assert stack.labels is not None and found.labels is not None
    assert stack.weights is not None and found.weights is not None
    for index, (row, column) in enumerate(HALVES.tolist()):
        for mine, stored in (
            (found.images[index, 2], stack.images[index, 2]),
            (found.labels[index], stack.labels[index]),
            (found.weights[index], stack.weights[index]),
        ):
            expected = by_definition(stored.numpy(), row, column)
            np.testing.assert_array_equal(mine.numpy(), expected)


def test_a_small_one_in_full_beside_one_that_is_left_alone() -> None:
    labels = torch.arange(16).view(1, 4, 4).repeat(2, 1, 1)
    quarters = Quarters(torch.tensor([True, False]), torch.tensor([[1, 0], [1, 1]]))
    lines = mirrored_quarters(all_lines(2, (4, 4)), quarters)
    found = copied(Stack(labels[:, None] / 16, labels), lines).labels
    assert found is not None
    assert found[0].tolist() == [[8, 9, 9, 8], [12, 13, 13, 12], [12, 13, 13, 12], [8, 9, 9, 8]]
    assert torch.equal(found[1], labels[1])


def test_share_and_quarters_come_as_often_as_they_should() -> None:
    quarters = draw_quarters(0.4, torch.arange(4000))
    drawn = Counter(
        tuple(half) if wanted else None
        for wanted, half in zip(quarters.wanted.tolist(), quarters.halves.tolist(), strict=True)
    )
    assert drawn[None] / 4000 == pytest.approx(0.6, abs=0.031)
    assert len(drawn) == 5
    for row in (0, 1):
        for column in (0, 1):
            assert drawn[row, column] / 4000 == pytest.approx(0.1, abs=0.019)


def test_share_of_none_and_of_all() -> None:
    assert not draw_quarters(0.0, torch.arange(100)).wanted.any()
    assert draw_quarters(1.0, torch.arange(100)).wanted.all()
