"""An image with its labels and pixel weights, which are changed together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class Sample(NamedTuple):
    """One image and everything that lies on the same pixels.

    Attributes:
        image: (C, H, W) float32 in [0, 1].
        labels: (H, W) int64, 0 or more.
        weights: (H, W) float32, 0 or more, what each pixel counts; None where all count 1.
    """

    image: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width.

        Raises:
            ValueError: image, labels and weights do not lie on the same pixels.
        """
        sizes = {tuple(part.shape[-2:]) for part in self if part is not None}
        if len(sizes) != 1 or self.image.ndim != 3 or self.labels.ndim != 2:
            raise ValueError(
                "expected an image (C, H, W) with labels and weights (H, W), found "
                + ", ".join(str(tuple(part.shape)) for part in self if part is not None)
            )
        height, width = self.labels.shape
        return height, width

    def mapped(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Sample:
        """The sample with ``move`` done to each part; it moves pixels in the last two axes."""
        weights = None if self.weights is None else move(self.weights)
        return Sample(move(self.image), move(self.labels), weights)
