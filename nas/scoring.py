"""A segmenter on the cases of a split: predictions, confusion matrices and scores."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor, nn

from nas.data.batches import Batch, Samples, in_order
from nas.games.segmentation import Criterion
from nas.metrics.semantic import Counts, Scores, confusion_matrices, score
from nas.modes import modes_kept

EVALUATED_TOGETHER = 4
"""Images that a segmenter is given at a time, to be scored."""


@torch.no_grad()
def answers(
    segmenter: nn.Module,
    samples: Samples,
    ids: Sequence[str] | None = None,
    batch_size: int = EVALUATED_TOGETHER,
) -> Generator[tuple[Batch, Tensor]]:
    """Batches in order with the logits (N, K, H, W); the segmenter in evaluation mode."""
    with modes_kept(segmenter):
        segmenter.eval()
        for batch in in_order(samples, batch_size, ids):
            yield batch, segmenter(batch.images)


def predictions(
    segmenter: nn.Module,
    samples: Samples,
    ids: Sequence[str] | None = None,
    batch_size: int = EVALUATED_TOGETHER,
) -> Iterator[tuple[Batch, Tensor]]:
    """As `answers`, with the predicted classes (N, H, W)."""
    with closing(answers(segmenter, samples, ids, batch_size)) as found:
        for batch, logits in found:
            yield batch, logits.argmax(dim=1)


def case_confusions(
    segmenter: nn.Module, samples: Samples, classes: int, ids: Sequence[str] | None = None
) -> Counts:
    """Confusion matrix of each case, (N, K, K), in the order of the cases.

    Pixels of unknown class are in none. A field of view is not known here: `nas.evaluate`, which
    reads it, leaves out what is beyond it too.
    """
    parts = [
        _confusions(batch, found, classes) for batch, found in predictions(segmenter, samples, ids)
    ]
    return np.concatenate(parts)


def _confusions(batch: Batch, found: Tensor, classes: int) -> Counts:
    return confusion_matrices(found.cpu().numpy(), batch.labels.cpu().numpy(), classes)


def score_segmenter(
    segmenter: nn.Module,
    samples: Samples,
    classes: Sequence[str],
    ids: Sequence[str] | None = None,
) -> Scores:
    """Scores on some or all of the samples."""
    return score(case_confusions(segmenter, samples, len(classes), ids), classes)


@torch.no_grad()
def validate(
    segmenter: nn.Module,
    criterion: Criterion,
    samples: Samples,
    classes: Sequence[str],
    ids: Sequence[str] | None = None,
) -> dict[str, float]:
    """What training watches, from one pass over samples in evaluation mode.

    Returns:
        ``mean_iou`` and ``foreground_iou``, pooled over all pixels, and ``val_loss``, the mean of
        the criterion over images. Its terms that look at weights or triplets, which only training
        batches have, see none.
    """
    parts, losses = [], []
    for batch, logits in answers(segmenter, samples, ids):
        parts.append(_confusions(batch, logits.argmax(dim=1), len(classes)))
        losses.append((len(batch.ids), criterion(logits, batch)))
    scores = score(np.concatenate(parts), classes)
    total = sum(images * loss.item() for images, loss in losses)
    return {
        "mean_iou": scores.pooled.iou.mean or 0.0,
        "foreground_iou": scores.pooled.iou.mean_foreground or 0.0,
        "val_loss": total / sum(images for images, _ in losses),
    }
