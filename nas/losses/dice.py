"""The soft Dice loss."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.data.cases import UNKNOWN


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the soft Dice coefficient, the mean over the classes of an image, then over images.

        1 - 2 sum p_c y_c / (sum p_c + sum y_c)

    with p the softmax of the logits, y the one-hot truth, and sums over the pixels of one image.
    The denominator is that of Drozdzal et al. 2016; Milletari et al. 2016 square its terms.

    A class that the truth of an image lacks is left out of the mean of this image: its coefficient
    would be 0 whatever is predicted. What is wrongly given to it is missing in the classes that are
    there. So no denominator is 0, and none is smoothed. The background counts like any class. Sums
    are over the known pixels; an image without any counts 0.

    Args:
        logits: (N, K, H, W) with N, H and W of 1 or more.
        labels: (N, H, W) int64 class indices in 0..K-1, or `UNKNOWN`.

    Returns:
        A scalar in [0, 1].

    Raises:
        ValueError: the shapes do not agree.
    """
    batch, _, *size = logits.shape
    if labels.shape != (batch, *size):
        raise ValueError(
            f"The logits are {tuple(logits.shape)} and the labels {tuple(labels.shape)}: expected "
            "(N, K, H, W) and (N, H, W)."
        )
    known = (labels != UNKNOWN).flatten(1)[:, None].to(logits.dtype)
    probabilities = logits.softmax(dim=1).flatten(2) * known
    places = labels.masked_fill(labels == UNKNOWN, 0).flatten(1)[:, None]
    truth = torch.zeros_like(probabilities).scatter(1, places, 1.0) * known
    pixels = truth.sum(dim=2)
    overlap = (probabilities * truth).sum(dim=2)
    absent = pixels == 0
    denominators = (probabilities.sum(dim=2) + pixels).masked_fill(absent, 1.0)
    losses = (1 - 2 * overlap / denominators).masked_fill(absent, 0.0)
    return torch.mean(losses.sum(dim=1) / (~absent).sum(dim=1).clamp(min=1))
