"""Images to be changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nas.data.augmentation.stack import Stack

MakeStack = Callable[..., Stack]


@pytest.fixture
def make_stack() -> MakeStack:
    """Random images with labels drawn from the given ones and weights up to 10."""

    def make(
        height: int = 20,
        width: int = 27,
        channels: int = 3,
        labels: tuple[int, ...] = (0, 1, 2),
        count: int = 2,
    ) -> Stack:
        generator = torch.Generator().manual_seed(height * 1000 + width)
        drawn = torch.randint(len(labels), (count, height, width), generator=generator)
        return Stack(
            torch.rand(count, channels, height, width, generator=generator),
            torch.tensor(labels)[drawn],
            10 * torch.rand(count, height, width, generator=generator),
        )

    return make
