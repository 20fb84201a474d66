"""A segmenter on the cases of a split: predictions, confusion matrices and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nas.data.batches import Batch, Samples, in_order
from nas.games.segmentation import Criterion
from nas.metrics.semantic import Counts, Scores, confusion_matrices, score
from nas.modes import modes_kept


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
    """Confusion matrix of each case, (N, K, K), in the order of the cases.

    Pixels of unknown class are in none. A field of view is not known here: `nas.evaluate`, which
    reads it, leaves out what is beyond it too.
    """
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


@torch.no_grad()
def validation_loss(
    segmenter: nn.Module,
    criterion: Criterion,
    samples: Samples,
    ids: Sequence[str] | None = None,
) -> float:
    """Mean of a segmentation loss over samples, with the segmenter in evaluation mode.

    Its terms that look at weights or triplets, which only training batches have, see none.
    """
    total = 0.0
    with modes_kept(segmenter):
        segmenter.eval()
        for batch in in_order(samples, 4, ids):
            total += len(batch.ids) * criterion(segmenter(batch.images), batch).item()
    return total / (len(samples) if ids is None else len(ids))


def validate(
    segmenter: nn.Module,
    criterion: Criterion,
    samples: Samples,
    classes: Sequence[str],
    ids: Sequence[str] | None = None,
) -> dict[str, float]:
    """What training watches: ``mean_iou`` and ``foreground_iou``, pooled, and ``val_loss``."""
    scores = score_segmenter(segmenter, samples, classes, ids)
    return {
        "mean_iou": scores.pooled.iou.mean or 0.0,
        "foreground_iou": scores.pooled.iou.mean_foreground or 0.0,
        "val_loss": validation_loss(segmenter, criterion, samples, ids),
    }
