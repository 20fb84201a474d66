"""What all adversarial games share: two kinds of class maps, and a discriminator that judges them.

The discriminator judges class maps (N, K, H, W), as far as it sees the image together with it. A
game says which maps are "real" and which are "fake". Both pass through the discriminator
separately, so that batch statistics never mix, unless a joint pass is asked for.

A discriminator that draws a path of operations for each pass draws one for each loss: real and fake
meet the same network, and what the path adds to the verdicts on both cancels in their difference.
The gradient is the same on average, and less noisy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from nas.cues import Cue, new_cue, one_hot
from nas.data.batches import Batch
from nas.data.cases import UNKNOWN
from nas.games.segmentation import Segmentation, at_least_float32
from nas.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from nas.terms import ByTerms
from search_spaces.path_sampling import one_path

Side: TypeAlias = Literal["real", "fake"]
Passes: TypeAlias = Literal["separate", "joint"]


@dataclass(frozen=True)
class Pressure:
    """How strongly the discriminator presses on the segmenter at a time of the training.

    Attributes:
        adversarial: weight lambda_1 >= 0 of the adversarial term; at 0 the term is not computed.
        unlabelled: weight lambda_2 >= 0 of the adversarial term on unlabelled images.
        supervised: whether labelled images count for the segmenter.
    """

    adversarial: float
    unlabelled: float = 0.0
    supervised: bool = True


@dataclass
class AdversarialSegmentation(Segmentation, ABC):
    """A segmenter and a discriminator bound by their losses.

    Attributes:
        discriminator: maps (N, K, H, W), or maps and images (N, K + C, H, W), to logits of "real":
            (N, 1), or (N, 1, h, w) for verdicts on patches or pixels.
        classes: K, background included.
        pressure: at present; a training changes it from epoch to epoch.
        sees_image: whether the image is appended to the map.
        adversarial: the losses on verdicts.
        cue: what the discriminator sees of a prediction and of a truth.
        passes: whether real and fake maps go through the discriminator one after the other, or in
            one batch. Where no batch statistics enter, both give the same verdicts.
    """

    discriminator: nn.Module
    classes: int
    pressure: Pressure
    sees_image: bool = False
    adversarial: AdversarialLoss = ADVERSARIAL_LOSSES["non-saturating"]
    cue: Cue = field(default_factory=lambda: new_cue("probabilities", 0.0))
    passes: Passes = field(default="separate", kw_only=True)

    def enter(self, pressure: Pressure, learns: bool) -> None:
        """Begin an epoch.

        Args:
            pressure: of the discriminator on the segmenter.
            learns: whether the discriminator is trained; where not, it is in evaluation mode, so
                that its running statistics rest too.
        """
        self.pressure = pressure
        self.discriminator.train(learns)

    @abstractmethod
    def contestants(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The maps (N, K, H, W), as the discriminator sees them, that are real and fake to it."""

    @abstractmethod
    def images_of(self, batch: Batch, side: Side) -> Tensor:
        """The images (N, C, H, W) that the maps of one side belong to."""

    def counted(self, side: Side) -> Literal["images", "unlabelled"]:
        """Which images of a batch the maps of one side belong to."""
        return "images"

    @property
    def discriminator_loss(self) -> Callable[[Batch], Tensor]:
        """What the discriminator minimises, with the segmenter held fixed; a scalar."""

        def terms(batch: Batch) -> Iterator[Tensor]:
            with torch.no_grad():
                real, fake = self.contestants(batch)
            return self._discrimination(real, fake, batch)

        return ByTerms(terms)

    @property
    def discriminator_objective(self) -> Callable[[Batch], Tensor]:
        """The discriminator's loss as a function of the segmenter's weights too; a scalar."""
        return ByTerms(lambda batch: self._discrimination(*self.contestants(batch), batch))

    @torch.no_grad()
    def verdicts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of "real" for real and for fake maps; for records, without gradients."""
        return self.judge_both(*self.contestants(batch), batch)

    def judge_both(self, real: Tensor, fake: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The discriminator's logits of "real" for the maps of both sides of a batch."""
        if self.passes == "joint":
            images = torch.cat([self.images_of(batch, "real"), self.images_of(batch, "fake")])
            verdicts = self.verdict(torch.cat([real, fake]), images)
            return verdicts[: len(real)], verdicts[len(real) :]
        with one_path(self.discriminator):
            return self.judge(real, batch, "real"), self.judge(fake, batch, "fake")

    def judge(self, maps: Tensor, batch: Batch, of: Side) -> Tensor:
        """The discriminator's logits of "real" for the maps of one side of a batch."""
        return self.verdict(maps, self.images_of(batch, of))

    def verdict(self, maps: Tensor, images: Tensor) -> Tensor:
        """The discriminator's logits of "real" for maps (N, K, H, W) of images (N, C, H, W)."""
        seen = torch.cat([maps, images], dim=1) if self.sees_image else maps
        return at_least_float32(self.discriminator(seen))

    def prediction(self, logits: Tensor) -> Tensor:
        """What the discriminator sees of a prediction, (N, K, H, W)."""
        return self.cue.prediction(logits.softmax(dim=1))

    def predicted(self, images: Tensor) -> Tensor:
        """What the discriminator sees of the prediction for images, (N, K, H, W)."""
        return self.prediction(at_least_float32(self.segmenter(images)))

    def truth(self, labels: Tensor, like: torch.dtype) -> Tensor:
        """What the discriminator sees of the truth, (N, K, H, W), 0 where it is unknown."""
        classes = labels.masked_fill(labels == UNKNOWN, 0)
        maps = self.cue.truth(one_hot(classes, self.classes, like))
        return where_known(maps, labels)

    def _discrimination(self, real: Tensor, fake: Tensor, batch: Batch) -> Iterator[Tensor]:
        """The discriminator's losses on real and on fake maps, one of both in a joint pass."""
        if self.passes == "joint":
            verdicts = self.judge_both(real, fake, batch)
            yield self._on_real(verdicts[0], batch) + self._on_fake(verdicts[1], batch)
            return
        with one_path(self.discriminator):
            yield self._on_real(self.judge(real, batch, "real"), batch)
            yield self._on_fake(self.judge(fake, batch, "fake"), batch)

    def _on_real(self, verdicts: Tensor, batch: Batch) -> Tensor:
        return batch.share_of(self.adversarial.real(verdicts), self.counted("real"))

    def _on_fake(self, verdicts: Tensor, batch: Batch) -> Tensor:
        return batch.share_of(self.adversarial.fake(verdicts), self.counted("fake"))


def where_known(maps: Tensor, labels: Tensor) -> Tensor:
    """The maps (N, K, H, W), 0 at the pixels whose label (N, H, W) is `UNKNOWN`."""
    return maps * (labels != UNKNOWN)[:, None].to(maps.dtype)
