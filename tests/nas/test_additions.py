"""What batches get beside images: weights once per case, changes per case and epoch, triplets."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import torch

from nas.additions import (
    Augmented,
    Curriculum,
    WithBorderWeights,
    WithClassWeights,
    WithTriplets,
    curriculum_begins,
)
from nas.data.augmentation.pipeline import Augmentation
from nas.data.batches import Batch
from nas.losses.border_weights import border_weights, objects
from nas.settings import AugmentationSettings, LossSettings

SETTINGS = LossSettings(border_weight=5, border_sigma=3)


def make_batch() -> Batch:
    labels = torch.zeros(2, 24, 24, dtype=torch.int64)
    labels[0, 3:10, 3:10] = 1
    labels[0, 3:10, 13:20] = 1
    labels[1, 5:15, 6:20] = 1
    images = labels[:, None].float() * 0.5 + 0.25
    return Batch(images, labels, ("a", "b"))


def augmented(seed: int = 0, begun: bool = True, **options: object) -> Augmented:
    settings = AugmentationSettings(**options)
    return Augmented(Augmentation(settings), Curriculum(0.7, begun), seed)


def untold(case: str) -> None:
    """The objects of no case are told apart."""


def expected_borders(labels: torch.Tensor) -> np.ndarray:
    return 1 + border_weights(objects(labels.numpy()), 5, 3)


def test_border_weights_belong_to_their_case_in_any_order() -> None:
    batch = make_batch()
    found = WithBorderWeights(SETTINGS, untold)(batch, 0, 0).weights
    for weights, labels in zip(found, batch.labels, strict=True):
        assert np.array_equal(weights.numpy(), expected_borders(labels))
    turned = Batch(batch.images.flip(0), batch.labels.flip(0), ("b", "a"))
    addition = WithBorderWeights(SETTINGS, untold)
    addition(batch, 0, 0)
    assert torch.equal(addition(turned, 1, 0).weights, found.flip(0))


def test_border_weights_are_those_of_the_objects_where_they_are_told_apart() -> None:
    """Two cells that touch are one region, which has no gap."""
    labels = torch.zeros(1, 9, 9, dtype=torch.int64)
    labels[:, 2:7, 1:8] = 1
    cells = labels[0].numpy().copy()
    cells[:, 4:] *= 2
    batch = Batch(torch.zeros(1, 1, 9, 9), labels, ("a",))
    found = WithBorderWeights(SETTINGS, lambda case: cells)(batch, 0, 0).weights
    assert np.array_equal(found[0].numpy(), 1 + border_weights(cells, 5, 3))
    assert (WithBorderWeights(SETTINGS, untold)(batch, 0, 0).weights == 1).all()
    assert found.max() > 3


def test_border_weights_are_computed_once_per_case() -> None:
    addition = WithBorderWeights(SETTINGS, untold)
    with patch("nas.additions.border_weights", wraps=border_weights) as computed:
        for epoch in range(3):
            addition(make_batch(), epoch, 0)
    assert computed.call_count == 2


def test_class_weights_are_those_of_the_image_as_it_is_by_then() -> None:
    """Livne: one over the frequency of the class in the current image, plus the border term."""
    batch = make_batch()
    shares = [labels.float().mean().item() for labels in batch.labels]
    found = WithClassWeights(2)(batch, 0, 0).weights
    for weights, labels, share in zip(found, batch.labels, shares, strict=True):
        assert torch.allclose(weights[labels == 1], torch.tensor(1.0))
        assert torch.allclose(weights[labels == 0], torch.tensor(share / (1 - share)))
    both = WithClassWeights(2)(WithBorderWeights(SETTINGS, untold)(batch, 0, 0), 0, 0).weights
    borders = np.stack([expected_borders(labels) for labels in batch.labels]) - 1
    assert torch.allclose(both - found, torch.from_numpy(borders), atol=1e-6)


def test_image_mask_and_weights_move_together() -> None:
    batch = make_batch()
    batch = batch._replace(weights=batch.labels.float() + 1)
    for epoch in range(4):
        changed = augmented(flips=("horizontal", "vertical"), quarters=0.5)(batch, epoch, 0)
        assert torch.equal(changed.images[:, 0], changed.labels * 0.5 + 0.25)
        assert torch.equal(changed.weights, changed.labels.float() + 1)


def test_a_change_depends_on_seed_case_and_epoch_alone() -> None:
    batch = make_batch()
    options = {"rotation": 90.0, "elastic": 1.0, "elastic_sigma": 3.0}
    first = augmented(**options)(batch, 2, 0)
    again = augmented(**options)(batch, 2, 7)
    assert torch.equal(first.images, again.images)
    turned = Batch(batch.images.flip(0), batch.labels.flip(0), ("b", "a"))
    assert torch.equal(augmented(**options)(turned, 2, 0).images.flip(0), first.images)
    for other in (augmented(**options)(batch, 3, 0), augmented(1, **options)(batch, 2, 0)):
        assert not torch.equal(first.images, other.images)


def test_unlabelled_images_are_changed_too_and_in_other_ways() -> None:
    batch = make_batch()
    batch = batch._replace(unlabelled=batch.images[:1].expand(2, -1, -1, -1))
    changed = augmented(rotation=90.0)(batch, 0, 0)
    assert changed.unlabelled.shape == batch.unlabelled.shape
    assert not torch.equal(changed.unlabelled[0], changed.unlabelled[1])
    assert not torch.equal(changed.unlabelled, batch.unlabelled)


def test_what_the_curriculum_keeps_for_later_waits() -> None:
    options = {"elastic": 1.0, "curriculum": ("elastic",)}
    waiting = augmented(begun=False, **options)(make_batch(), 0, 0)
    assert torch.equal(waiting.images, make_batch().images)
    assert not torch.equal(augmented(**options)(make_batch(), 0, 0).images, waiting.images)


def test_a_curriculum_begins_once_and_stays() -> None:
    curriculum = Curriculum(0.7)
    assert [curriculum.after_epoch(value) for value in (None, 0.7, 0.71, 0.9, 0.1)] == [
        *(False, False, True, False, False)
    ]
    assert curriculum.begun
    again = Curriculum(0.7)
    again.restore(curriculum.state())
    assert again.begun


def test_triplets_come_from_the_masks_as_they_are_in_the_batch() -> None:
    batch = make_batch()
    addition = WithTriplets(LossSettings(triplets=10), seed=3)
    triplets = addition(batch, 0, 0).triplets
    assert triplets.shape == (20, 3)
    labels = batch.labels.flatten()[triplets]
    assert (labels == torch.tensor([1, 1, 0])).all()
    image = triplets // (24 * 24)
    assert (image == image[:, :1]).all()
    assert torch.equal(addition(batch, 0, 0).triplets, triplets)
    assert not torch.equal(addition(batch, 0, 1).triplets, triplets)


def test_the_beginning_of_the_curriculum_in_words() -> None:
    told = curriculum_begins(4, Curriculum(0.65), ("elastic", "rotation"))
    assert told.startswith("Epoch 5: ")
    assert "0.65" in told and "elastic, rotation" in told
