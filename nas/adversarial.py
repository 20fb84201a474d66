"""Adversarial segmentation: a segmenter and a discriminator bound by their losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from nas.data.batches import Batch
from nas.losses.adversarial import discrimination_loss, fooling_loss


@dataclass(frozen=True)
class Segmentation:
    """A segmenter trained on labelled images alone.

    Attributes:
        segmenter: images (N, C, H, W) in [0, 1] to logits (N, K, H, W).
    """

    segmenter: nn.Module

    def segmentation_loss(self, batch: Batch) -> Tensor:
        """CE(f(x), y); a scalar."""
        return cross_entropy(self.logits(batch), batch.labels)

    def logits(self, batch: Batch) -> Tensor:
        """f(x) before softmax, (N, K, H, W), in float32 or better under autocast too."""
        return _at_least_float32(self.segmenter(batch.images))


@dataclass(frozen=True)
class AdversarialSegmentation(Segmentation):
    """The game of Dong et al. 2019 on labelled images.

    The discriminator judges class maps (N, K, H, W): for a prediction the softmax of the
    segmenter's logits, for the truth its one-hot code, both with the classes in the order of the
    labels. Prediction and truth pass through it separately, so that batch statistics never mix.

    Attributes:
        discriminator: maps (N, K, H, W), or maps and images (N, K + C, H, W), to logits of "real".
        classes: K, background included.
        adversarial_weight: lambda_adv >= 0.
        sees_image: whether the image is appended to the map.
    """

    discriminator: nn.Module
    classes: int
    adversarial_weight: float
    sees_image: bool = False

    def segmenter_loss(self, batch: Batch) -> Tensor:
        """L_S = CE(f(x), y) - lambda_adv * log g(f(x)) (Eq. 1); a scalar."""
        logits = self.logits(batch)
        verdict = self._judge(logits.softmax(dim=1), batch)
        return cross_entropy(logits, batch.labels) + self.adversarial_weight * fooling_loss(verdict)

    def discriminator_loss(self, batch: Batch) -> Tensor:
        """L_D = -log g(y) - log(1 - g(f(x))) with the segmenter held fixed (Eq. 2); a scalar."""
        with torch.no_grad():
            prediction = self._prediction(batch)
        return discrimination_loss(*self._verdicts(prediction, batch))

    def discriminator_objective(self, batch: Batch) -> Tensor:
        """J_val = L_D as a function of the segmenter's weights too (Eq. 8); a scalar."""
        return discrimination_loss(*self._verdicts(self._prediction(batch), batch))

    @torch.no_grad()
    def verdicts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of "real" for the truth and for the prediction; for records, without gradients."""
        return self._verdicts(self._prediction(batch), batch)

    def _prediction(self, batch: Batch) -> Tensor:
        return self.logits(batch).softmax(dim=1)

    def _verdicts(self, prediction: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        truth = one_hot(batch.labels, self.classes).movedim(-1, 1).to(prediction.dtype)
        return self._judge(truth, batch), self._judge(prediction, batch)

    def _judge(self, class_map: Tensor, batch: Batch) -> Tensor:
        seen = torch.cat([class_map, batch.images], dim=1) if self.sees_image else class_map
        return _at_least_float32(self.discriminator(seen))


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
