"""The segmentation loss that the settings describe, and the loss of a pretraining."""

from __future__ import annotations

from torch import Tensor

from nas.data.batches import Batch
from nas.games.segmentation import Criterion
from nas.losses.dice import dice_loss
from nas.losses.pixel_weights import weighted_cross_entropy
from nas.losses.triplets import triplet_loss
from nas.settings import LossSettings


def segmentation_criterion(settings: LossSettings) -> Criterion:
    """The sum of the settings' terms: cross-entropy with pixel weights, Dice, triplets."""
    terms: list[Criterion] = []
    if "cross_entropy" in settings.loss.split("+"):
        terms.append(_cross_entropy)
    if "dice" in settings.loss.split("+"):
        terms.append(_dice)
    if settings.triplet_weight:
        terms.append(_scaled(_triplets(settings.triplet_margin), settings.triplet_weight))
    return _sum_of(terms)


def pretraining_criterion(settings: LossSettings) -> Criterion:
    """The loss of the pretraining alone (Nelson 2022, Eq. 8, or what it is compared with)."""
    match settings.pretrain_loss:
        case "triplet":
            return _triplets(settings.triplet_margin)
        case "cross_entropy":
            return _cross_entropy
        case "dice":
            return _dice


def wants_triplets(settings: LossSettings, pretraining: bool) -> bool:
    """Whether a term of the loss, or of that of the pretraining, looks at triplets."""
    return settings.pretrain_loss == "triplet" if pretraining else settings.triplet_weight > 0


def _cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    loss = weighted_cross_entropy(logits, batch.labels, batch.weights)
    return batch.share_of(loss, "known")


def _dice(logits: Tensor, batch: Batch) -> Tensor:
    return batch.share_of(dice_loss(logits, batch.labels), "images")


def _triplets(margin: float) -> Criterion:
    """Of a batch without triplets, as those of a validation, it is 0; it is a sum, not a mean."""

    def criterion(logits: Tensor, batch: Batch) -> Tensor:
        if batch.triplets is None:
            return logits.sum() * 0.0
        foreground = 1.0 - logits.softmax(dim=1)[:, 0]
        return triplet_loss(foreground, batch.triplets, margin)

    return criterion


def _scaled(criterion: Criterion, factor: float) -> Criterion:
    return lambda logits, batch: factor * criterion(logits, batch)


def _sum_of(terms: list[Criterion]) -> Criterion:
    def criterion(logits: Tensor, batch: Batch) -> Tensor:
        first, *rest = [term(logits, batch) for term in terms]
        return sum(rest, start=first)

    return criterion
