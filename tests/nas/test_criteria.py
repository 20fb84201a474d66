"""The segmentation loss is the sum of the terms that the settings name."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from nas.criteria import (
    pretraining_criterion,
    segmentation_criterion,
    wants_triplets,
)
from nas.data.batches import Batch
from nas.losses.dice import dice_loss
from nas.losses.triplets import triplet_loss
from nas.settings import LossSettings

LOGITS = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 3, (2, 6, 5), generator=torch.Generator().manual_seed(1))
TRIPLETS = torch.randint(0, 60, (8, 3), generator=torch.Generator().manual_seed(2))
BATCH = Batch(torch.zeros(2, 1, 6, 5), LABELS, ("a", "b"), triplets=TRIPLETS)


def triplets(margin: float) -> torch.Tensor:
    return triplet_loss(1 - LOGITS.softmax(1)[:, 0], TRIPLETS, margin)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (LossSettings(), cross_entropy(LOGITS, LABELS)),
        (LossSettings(loss="dice"), dice_loss(LOGITS, LABELS)),
        (
            LossSettings(loss="cross_entropy+dice"),
            cross_entropy(LOGITS, LABELS) + dice_loss(LOGITS, LABELS),
        ),
        (
            LossSettings(triplet_weight=0.3, triplet_margin=0.4),
            cross_entropy(LOGITS, LABELS) + 0.3 * triplets(0.4),
        ),
    ],
)
def test_the_terms_add_up(settings: LossSettings, expected: torch.Tensor) -> None:
    assert torch.allclose(segmentation_criterion(settings)(LOGITS, BATCH), expected)


def test_weights_of_pixels_count_in_the_cross_entropy() -> None:
    weights = torch.rand(2, 6, 5)
    each = cross_entropy(LOGITS, LABELS, reduction="none")
    found = segmentation_criterion(LossSettings())(LOGITS, BATCH._replace(weights=weights))
    assert torch.allclose(found, (weights * each).mean())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("triplet", triplets(0.2)),
        ("cross_entropy", cross_entropy(LOGITS, LABELS)),
        ("dice", dice_loss(LOGITS, LABELS)),
    ],
)
def test_a_pretraining_has_one_term(name: str, expected: torch.Tensor) -> None:
    criterion = pretraining_criterion(LossSettings(pretrain_loss=name, triplet_weight=3))
    assert torch.allclose(criterion(LOGITS, BATCH), expected)


def test_batches_without_triplets_have_none_to_pay_for() -> None:
    settings = LossSettings(triplet_weight=0.3)
    found = segmentation_criterion(settings)(LOGITS, BATCH._replace(triplets=None))
    assert torch.allclose(found, cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize(
    ("settings", "beside", "before"),
    [
        (LossSettings(pretrain_loss="dice"), False, False),
        (LossSettings(triplet_weight=0.1, pretrain_loss="dice"), True, False),
        (LossSettings(pretrain_loss="triplet"), False, True),
    ],
)
def test_triplets_are_mined_where_a_loss_looks_at_them(
    settings: LossSettings, beside: bool, before: bool
) -> None:
    assert wants_triplets(settings, pretraining=False) == beside
    assert wants_triplets(settings, pretraining=True) == before
