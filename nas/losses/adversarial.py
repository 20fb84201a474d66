"""The non-saturating adversarial losses, on logits of the probability of "real".

Dong et al. 2019, Eq. 1 and 2, with g = sigmoid(logit):

    segmenter      -log g(fake)
    discriminator  -log g(real) - log(1 - g(fake))

Each is a mean over verdicts, so that one verdict per image and one per patch weigh the same.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def fooling_loss(fake_logits: Tensor) -> Tensor:
    """-log g(fake): what a segmenter pays for being recognised. Logits of any shape; a scalar."""
    return softplus(-fake_logits).mean()


def discrimination_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log g(real) - log(1 - g(fake)): what a discriminator pays. Logits of any shape; a scalar."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()
