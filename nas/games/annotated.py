"""Predictions for annotated images against those for unannotated ones (DAN; Nelson 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from nas.data.batches import Batch
from nas.errors import DataError
from nas.games.adversarial import AdversarialSegmentation, Side
from nas.games.segmentation import at_least_float32


@dataclass
class AnnotatedAgainstUnannotated(AdversarialSegmentation):
    """The game of Zhang et al. 2017 (DAN) as in Nelson 2022, Eq. 2: A + lambda [B + C].

    Real is the prediction for an annotated image, fake that for an unannotated one: the
    discriminator grades segmentations, and the segmenter is to earn the grade of annotated images
    on the others. True masks never enter it. The discriminator minimises B + C (Eq. 2.2 and 2.3).
    Read as one sum over both networks, Eq. 2 would have the segmenter help the discriminator; it
    descends A, and in place of C the loss of being taken for annotated, as DAN's does.
    """

    def contestants(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Predictions for the labelled and for the unlabelled images, (N, K, H, W) each."""
        return self.prediction(self.logits(batch)), self._unannotated(batch)

    def images_of(self, batch: Batch, side: Side) -> Tensor:
        """The labelled images of the real side, the unlabelled ones of the fake side.

        Raises:
            DataError: the batch has no unlabelled images.
        """
        if side == "real":
            return batch.images
        if batch.unlabelled is None:
            raise DataError(
                "--game annotated-unannotated needs unlabelled images: name their folder by "
                "--unlabelled, or put masks aside by --unlabelled-images."
            )
        return batch.unlabelled

    def counted(self, side: Side) -> Literal["images", "unlabelled"]:
        """Labelled images on the real side, unlabelled ones on the fake side."""
        return "images" if side == "real" else "unlabelled"

    def segmenter_loss(self, batch: Batch) -> Tensor:
        """A + lambda * BCE(E(S(u), u), 1), with the losses of `adversarial`; a scalar."""
        loss = self.segmentation_loss(batch)
        if not self.pressure.adversarial:
            return loss
        verdict = self.judge(self._unannotated(batch), batch, "fake")
        fooling = batch.share_of(self.adversarial.fooling(verdict), "unlabelled")
        return loss + self.pressure.adversarial * fooling

    def shown(self, batch: Batch) -> Batch:
        """The batch with the segmenter's logits for annotated and unannotated images."""
        unlabelled = self.images_of(batch, "fake")
        logits = self.logits(batch)
        return batch._replace(
            logits=logits, unlabelled_logits=at_least_float32(self.segmenter(unlabelled))
        )

    def _unannotated(self, batch: Batch) -> Tensor:
        if batch.unlabelled_logits is not None:
            return self.prediction(batch.unlabelled_logits)
        return self.predicted(self.images_of(batch, "fake"))
