"""A segmenter on the cases of a split: predictions, confusion matrices and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nas.adversarial import AdversarialSegmentation
from nas.data.batches import Batch, Samples, in_order
from nas.metrics.semantic import Counts, Scores, confusion_matrices, score
from nas.traceless import without_trace


@torch.no_grad()
def predictions(
    segmenter: nn.Module, samples: Samples, ids: Sequence[str] | None = None, batch_size: int = 4
) -> Iterator[tuple[Batch, Tensor]]:
    """Batches in order with the predicted classes (N, H, W); the segmenter in evaluation mode."""
    training = segmenter.training
    segmenter.eval()
    try:
        for batch in in_order(samples, batch_size, ids):
            yield batch, segmenter(batch.images).argmax(dim=1)
    finally:
        segmenter.train(training)


def case_confusions(
    segmenter: nn.Module, samples: Samples, classes: int, ids: Sequence[str] | None = None
) -> Counts:
    """Confusion matrix of each case, (N, K, K), in the order of the cases."""
    parts = [
        confusion_matrices(found.cpu().numpy(), batch.labels.cpu().numpy(), classes)
        for batch, found in predictions(segmenter, samples, ids)
    ]
    return np.concatenate(parts)


def score_segmenter(
    segmenter: nn.Module,
    samples: Samples,
    classes: Sequence[str],
    ids: Sequence[str] | None = None,
) -> Scores:
    """Scores on some or all of the samples."""
    return score(case_confusions(segmenter, samples, len(classes), ids), classes)


def discriminator_accuracy(
    game: AdversarialSegmentation, samples: Samples, ids: Sequence[str], batch_size: int
) -> dict[str, float]:
    """Share of truths and of predictions that the discriminator tells as what they are.

    It judges as in training (batch statistics included), and nothing of it changes.
    """
    right: dict[str, list[Tensor]] = {"real_accuracy": [], "fake_accuracy": []}
    with without_trace([game.segmenter, game.discriminator]):
        for batch in in_order(samples, batch_size, ids):
            real, fake = game.verdicts(batch)
            right["real_accuracy"].append((real > 0).float().flatten())
            right["fake_accuracy"].append((fake < 0).float().flatten())
    return {name: float(torch.cat(verdicts).mean()) for name, verdicts in right.items()}
