"""Adversarial losses on the verdicts of a discriminator, which are logits of "real".

A verdict is one number per image (N, 1), per patch or per pixel (N, 1, h, w). Every loss here is a
mean over verdicts, so that all three weigh the same against a segmentation loss.

Which maps are "real" and which are "fake" is the business of a game. With g = sigmoid(logit), the
non-saturating loss is what the papers on segmentation write down under several names:

- Dong et al. 2019, Eq. 1 and 2: -log g(fake) for the segmenter, -log g(real) - log(1 - g(fake)) for
  the discriminator. Real is the truth, fake the prediction.
- Nelson 2022, Eq. 2: A + lambda [B + C]. A is the segmentation loss; B and C are the binary
  cross-entropies of predictions for annotated images against 1 and for unannotated ones against 0.
  B + C is `discrimination_loss`; what the segmenter gains by lowering -log g on unannotated images
  is `fooling_loss`.
- Lalwani: the binary cross-entropies of verdicts on pixels; as patches, those of PatchGAN (Isola et
  al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu, softplus


def fooling_loss(fake_logits: Tensor) -> Tensor:
    """-log g(fake): what a segmenter pays for being recognised. Logits of any shape; a scalar."""
    return softplus(-fake_logits).mean()


def discrimination_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log g(real) - log(1 - g(fake)): what a discriminator pays. Logits of any shape; a scalar."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


@dataclass(frozen=True)
class AdversarialLoss:
    """What both players pay for verdicts. Each part takes verdicts of any shape to a scalar.

    Attributes:
        name: as in the settings.
        real: what the discriminator pays on real maps.
        fake: what the discriminator pays on fake maps.
        fooling: what the segmenter pays on fake maps.
        threshold: a verdict above it says "real", any other "fake".
    """

    name: str
    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    fooling: Callable[[Tensor], Tensor]
    threshold: float = 0.0

    def discrimination(self, real_verdicts: Tensor, fake_verdicts: Tensor) -> Tensor:
        """What the discriminator pays in all; a scalar."""
        return self.real(real_verdicts) + self.fake(fake_verdicts)


NON_SATURATING = AdversarialLoss(
    "non-saturating",
    real=lambda verdicts: softplus(-verdicts).mean(),
    fake=lambda verdicts: softplus(verdicts).mean(),
    fooling=fooling_loss,
)
"""Goodfellow et al. 2014, Section 3; Dong et al. 2019, Eq. 1 and 2."""

HINGE = AdversarialLoss(
    "hinge",
    real=lambda verdicts: relu(1 - verdicts).mean(),
    fake=lambda verdicts: relu(1 + verdicts).mean(),
    fooling=lambda verdicts: -verdicts.mean(),
)
"""Lim and Ye 2017: the discriminator pays for verdicts within a margin of 1, or beyond the border;
the segmenter's gradient never fades."""

LEAST_SQUARES = AdversarialLoss(
    "least-squares",
    real=lambda verdicts: (verdicts - 1).square().mean() / 2,
    fake=lambda verdicts: verdicts.square().mean() / 2,
    fooling=lambda verdicts: (verdicts - 1).square().mean() / 2,
    threshold=0.5,
)
"""Mao et al. 2017, Eq. 9: verdicts are drawn to 1 for real and 0 for fake, without a sigmoid."""

ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    loss.name: loss for loss in (NON_SATURATING, HINGE, LEAST_SQUARES)
}
