"""What training batches get beside images and masks: weights, augmentation, triplets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nas.data.augmentation.pipeline import Augmentation
from nas.data.augmentation.stack import Stack
from nas.data.batches import Batch, stable_seed
from nas.devices import derived_seed
from nas.losses.border_weights import border_weights, objects
from nas.losses.pixel_weights import class_frequency_weights
from nas.losses.triplets import mine_triplets
from nas.settings import LossSettings


class WithBorderWeights:
    """Gives every case the border weights of its pixels, computed when it is first seen and kept.

    Args:
        settings: how much a gap counts, and how wide it may be.
        instances: (H, W) numbers of the objects of a case by its id, or None where they are not
            told apart; then each connected region is an object.
    """

    def __init__(
        self, settings: LossSettings, instances: Callable[[str], np.ndarray | None]
    ) -> None:
        self._settings = settings
        self._instances = instances
        self._known: dict[str, torch.Tensor] = {}

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The batch with weights: 1, and more in narrow gaps."""
        cases = zip(batch.ids, batch.labels, strict=True)
        return batch._replace(weights=torch.stack([self._of(*case) for case in cases]))

    def _of(self, case: str, labels: torch.Tensor) -> torch.Tensor:
        if case not in self._known:
            instances = self._instances(case)
            if instances is None:
                instances = objects(labels.cpu().numpy())
            settings = self._settings
            borders = border_weights(instances, settings.border_weight, settings.border_sigma)
            self._known[case] = torch.from_numpy(1 + borders).to(labels.device)
        return self._known[case]


class WithClassWeights:
    """Weighs the pixels of every image, as it is by then, by how rare their class is in it.

    Args:
        classes: K, background included.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The batch with w_c in place of 1 in the weights (w = w_c + border term)."""
        by_class = torch.stack(
            [
                torch.from_numpy(class_frequency_weights(labels.cpu().numpy(), self._classes))
                for labels in batch.labels
            ]
        ).to(batch.labels.device)
        borders = 0.0 if batch.weights is None else batch.weights - 1
        return batch._replace(weights=by_class + borders)


@dataclass
class Curriculum:
    """Whether what is kept for later has begun; a training says when.

    Attributes:
        threshold: mean IoU without the background at which it begins.
        begun: whether it has.
    """

    threshold: float
    begun: bool = False

    def after_epoch(self, foreground_iou: float | None) -> bool:
        """Take in the score of an epoch; whether the curriculum begins with it."""
        begins = not self.begun and foreground_iou is not None and foreground_iou > self.threshold
        self.begun = self.begun or begins
        return begins

    def state(self) -> dict[str, Any]:
        """What it remembers."""
        return {"begun": self.begun}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        self.begun = state["begun"]


def curriculum_begins(epoch: int, curriculum: Curriculum, later: Sequence[str]) -> str:
    """That what was kept for later begins after an epoch, counted from 0, in words."""
    return (
        f"Epoch {epoch + 1}: the mean IoU without the background has passed "
        f"{curriculum.threshold:g}, so {', '.join(later)} of the curriculum begins."
    )


class Augmented:
    """Changes every image with its mask and weights, anew for each case and epoch.

    Unlabelled images are changed in the same ways. How a case is changed does not depend on the
    others of its batch.

    Args:
        augmentation: the changes.
        curriculum: says whether those that are kept for later have begun.
        seed: of their random numbers.
    """

    def __init__(self, augmentation: Augmentation, curriculum: Curriculum, seed: int) -> None:
        self._augmentation = augmentation
        self._curriculum = curriculum
        self._seed = seed

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The batch, every case of it changed."""
        images, labels, weights = self._changed(
            Stack(batch.images, batch.labels, batch.weights), batch.ids, epoch
        )
        assert labels is not None
        batch = batch._replace(images=images, labels=labels, weights=weights)
        if batch.unlabelled is None:
            return batch
        names = [f"unlabelled {step} {index}" for index in range(len(batch.unlabelled))]
        unlabelled = self._changed(Stack(batch.unlabelled), names, epoch).images
        return batch._replace(unlabelled=unlabelled)

    def _changed(self, stack: Stack, names: Sequence[str], epoch: int) -> Stack:
        seeds = [stable_seed(derived_seed(self._seed, name), epoch) for name in names]
        return self._augmentation(stack, seeds, self._curriculum.begun)


class WithTriplets:
    """Gives every batch triplets of pixels, mined from its masks as they are by then.

    Args:
        settings: how many, and which positives.
        seed: of the choices.
    """

    def __init__(self, settings: LossSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The batch with triplets."""
        rng = np.random.default_rng(stable_seed(self._seed, epoch, step))
        mined = mine_triplets(
            batch.labels.cpu().numpy(),
            self._settings.triplets,
            rng,
            self._settings.triplet_positives,
        )
        return batch._replace(triplets=torch.from_numpy(mined).to(batch.labels.device))
