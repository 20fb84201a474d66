"""Segmentation alone: a segmenter trained on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn

from nas.data.batches import Batch
from nas.losses.pixel_weights import weighted_cross_entropy

Criterion: TypeAlias = Callable[[Tensor, Batch], Tensor]
"""Logits (N, K, H, W) and their batch to a scalar."""


def plain_cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """CE(f(x), y), the mean over the known pixels; a scalar."""
    return batch.share_of(weighted_cross_entropy(logits, batch.labels, None), "known")


@dataclass
class Segmentation:
    """A segmenter trained on labelled images alone.

    Attributes:
        segmenter: images (N, C, H, W) in [0, 1] to logits (N, K, H, W).
        criterion: the segmentation loss of logits on a batch.
    """

    segmenter: nn.Module
    criterion: Criterion = field(default=plain_cross_entropy, kw_only=True)

    def segmentation_loss(self, batch: Batch) -> Tensor:
        """The criterion on labelled images; a scalar."""
        return self.criterion(self.logits(batch), batch)

    def segmenter_loss(self, batch: Batch) -> Tensor:
        """What the segmenter minimises: here the segmentation loss; a scalar."""
        return self.segmentation_loss(batch)

    def logits(self, batch: Batch) -> Tensor:
        """f(x) before softmax, (N, K, H, W), in float32 or better under autocast too."""
        if batch.logits is not None:
            return batch.logits
        return at_least_float32(self.segmenter(batch.images))

    def shown(self, batch: Batch) -> Batch:
        """The batch with the segmenter's logits, for losses at one point of its weights."""
        return batch._replace(logits=self.logits(batch))


def at_least_float32(values: Tensor) -> Tensor:
    """The values, in float32 where they are of half precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
