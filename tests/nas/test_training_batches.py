"""The batches of a training have everything that its settings ask for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nas.additions import Curriculum
from nas.data.batches import Batches
from nas.data.unlabelled import Unlabelled
from nas.errors import UsageError
from nas.preparation import Data
from nas.settings import (
    AugmentationSettings,
    LossSettings,
    RetrainSettings,
    RunSettings,
    SearchSettings,
)
from nas.training_batches import check_augmentation, held_out_batches, training_batches

CPU = torch.device("cpu")


@pytest.fixture
def make(discs: Callable[..., Data]) -> Callable[..., Batches]:
    samples = discs(train=4).samples("train", CPU)

    def batches(
        unlabelled: Unlabelled | None = None, seed: int = 0, triplets: bool = False, **tables: Any
    ) -> Batches:
        settings = RetrainSettings(run=RunSettings(seed=seed), **tables)
        curriculum = Curriculum(0.7, begun=True)
        return training_batches(
            settings, samples, samples.ids, "weight batches", 2, unlabelled, curriculum, triplets
        )

    return batches


def test_by_default_batches_are_images_and_masks_as_stored(make: Callable[..., Batches]) -> None:
    batch = make().batch(0, 0)
    assert (batch.weights, batch.triplets, batch.unlabelled) == (None, None, None)
    for epoch in range(3):
        assert make().order(epoch) == make(loss=LossSettings(border_weight=1)).order(epoch)


def test_everything_at_once(make: Callable[..., Batches], discs: Callable[..., Data]) -> None:
    image = discs().samples("test", CPU).batch(["case6"]).images[0]
    unlabelled = Unlabelled({"u": image})
    loss = LossSettings(class_weights="frequency", triplet_weight=1, triplets=3)
    augmentation = AugmentationSettings(rotation=30)
    batch = make(unlabelled, triplets=True, loss=loss, augmentation=augmentation).batch(0, 0)
    assert batch.weights is not None and batch.weights.shape == (2, 32, 32)
    assert batch.triplets is not None and batch.triplets.shape == (6, 3)
    assert batch.unlabelled is not None and batch.unlabelled.shape == (1, 1, 32, 32)
    plain = make().batch(0, 0)
    assert batch.ids == plain.ids
    assert not torch.equal(batch.images, plain.images)
    labels = batch.labels.flatten()[batch.triplets]
    assert (labels == torch.tensor([1, 1, 0])).all()


def test_another_seed_changes_images_in_other_ways(make: Callable[..., Batches]) -> None:
    turned = AugmentationSettings(rotation=90)
    by_case = []
    for seed in (0, 1):
        batches = make(seed=seed, augmentation=turned)
        parts = [batches.batch(0, step) for step in range(len(batches))]
        by_case.append({i: image for p in parts for i, image in zip(p.ids, p.images, strict=True)})
    first, second = by_case
    assert not any(torch.equal(first[case], second[case]) for case in first)


def test_held_out_images_stay_as_they_are(discs: Callable[..., Data]) -> None:
    samples = discs(train=4).samples("train", CPU)
    settings = SearchSettings(
        loss=LossSettings(class_weights="frequency"),
        augmentation=AugmentationSettings(rotation=90),
    )
    unlabelled = Unlabelled({"u": samples.batch(["case0"]).images[0]})
    batch = held_out_batches(settings, samples, samples.ids, "half", unlabelled).batch(0, 0)
    assert torch.equal(batch.images, samples.batch(batch.ids).images)
    assert batch.weights is None
    assert batch.unlabelled is not None


@pytest.mark.parametrize("name", ["flips", "rotation", "quarters", "elastic"])
def test_a_curriculum_of_what_is_not_asked_for_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match=f"--{name} asks for none"):
        check_augmentation(AugmentationSettings(curriculum=(name,)))
    given: Any = ("vertical",) if name == "flips" else 0.5
    check_augmentation(AugmentationSettings(curriculum=(name,), **{name: given}))


def test_an_inverted_range_is_refused() -> None:
    with pytest.raises(UsageError, match="--elastic-alpha 5 2"):
        check_augmentation(AugmentationSettings(elastic_alpha=(5, 2)))
