"""Images with their labels and pixel weights, which are changed together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class Stack(NamedTuple):
    """Images of one size, and everything that lies on the same pixels.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N, H, W) int64, 0 or more; None where there are none.
        weights: (N, H, W) float32, 0 or more, what each pixel counts; None where all count 1.
    """

    images: torch.Tensor
    labels: torch.Tensor | None = None
    weights: torch.Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width.

        Raises:
            ValueError: images, labels and weights do not lie on the same pixels.
        """
        own = (self.images.shape[0], *self.images.shape[2:])
        others = {tuple(part.shape) for part in self[1:] if part is not None}
        if self.images.ndim != 4 or others - {own}:
            raise ValueError(
                "expected images (N, C, H, W) with labels and weights (N, H, W), found "
                + ", ".join(str(tuple(part.shape)) for part in self if part is not None)
            )
        height, width = self.images.shape[2:]
        return height, width

    def mapped(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Stack:
        """The stack with ``change`` done to each part; its first axis is that of the images."""
        return Stack(*(None if part is None else change(part) for part in self))  # type: ignore[arg-type]

    def chosen(self, indices: torch.Tensor) -> Stack:
        """Some of the images: (M,) indices in ascending order, on the CPU."""
        if len(indices) == len(self.images):
            return self
        places = indices.to(self.images.device)
        return self.mapped(lambda part: part[places])

    def replaced(self, indices: torch.Tensor, others: Stack) -> Stack:
        """The stack with other images of the same size in the places of those `chosen`."""
        if len(indices) == len(self.images):
            return others
        places = indices.to(self.images.device)
        both = zip(self, others, strict=True)
        return Stack(
            *(
                part if part is None or other is None else part.index_copy(0, places, other)
                for part, other in both
            )  # type: ignore[arg-type]
        )
