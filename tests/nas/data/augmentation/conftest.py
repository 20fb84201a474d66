"""Samples to be changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nas.data.augmentation.sample import Sample

MakeSample = Callable[..., Sample]


@pytest.fixture
def make_sample() -> MakeSample:
    """Random images with labels drawn from the given ones and weights up to 10."""

    def make(
        height: int = 20, width: int = 27, channels: int = 3, labels: tuple[int, ...] = (0, 1, 2)
    ) -> Sample:
        generator = torch.Generator().manual_seed(height * 1000 + width)
        drawn = torch.randint(len(labels), (height, width), generator=generator)
        return Sample(
            torch.rand(channels, height, width, generator=generator),
            torch.tensor(labels)[drawn],
            10 * torch.rand(height, width, generator=generator),
        )

    return make
