"""Segmentation alone: the criterion decides, in full precision."""

from __future__ import annotations

import torch
from torch import nn

from nas.data.batches import Batch
from nas.games.segmentation import Segmentation, at_least_float32


def test_the_criterion_sees_the_logits_and_the_batch() -> None:
    batch = Batch(torch.rand(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64), ("a", "b"))
    segmenter = nn.Conv2d(1, 2, 1)
    seen = []

    def criterion(logits: torch.Tensor, given: Batch) -> torch.Tensor:
        seen.append((logits, given))
        return logits.sum()

    game = Segmentation(segmenter, criterion=criterion)
    assert torch.equal(game.segmenter_loss(batch), segmenter(batch.images).sum())
    assert seen[0][1] is batch


def test_half_precision_is_widened_and_double_precision_kept() -> None:
    assert at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert at_least_float32(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
