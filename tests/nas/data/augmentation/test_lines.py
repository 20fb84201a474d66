from __future__ import annotations

from collections.abc import Callable

import torch

from nas.data.augmentation.lines import Lines, all_lines, copied
from nas.data.augmentation.stack import Stack

MakeStack = Callable[..., Stack]


def test_every_pixel_comes_from_its_row_and_column(make_stack: MakeStack) -> None:
    stack = make_stack(5, 7, count=3)
    generator = torch.Generator().manual_seed(2)
    lines = Lines(
        torch.randint(5, (3, 5), generator=generator), torch.randint(7, (3, 7), generator=generator)
    )
    found = copied(stack, lines)
    for part, stored in zip(found, stack, strict=True):
        assert part is not None and stored is not None and part.shape == stored.shape
        for image in range(3):
            for row in range(5):
                for column in range(7):
                    source = lines.rows[image, row], lines.columns[image, column]
                    mine, theirs = part[image, ..., row, column], stored[image][..., *source]
                    assert torch.equal(mine, theirs)


def test_all_lines_in_their_places_change_nothing(make_stack: MakeStack) -> None:
    stack = make_stack(4, 3)._replace(weights=None)
    found = copied(stack, all_lines(2, (4, 3)))
    assert found.labels is not None and stack.labels is not None and found.weights is None
    assert torch.equal(found.images, stack.images) and torch.equal(found.labels, stack.labels)
