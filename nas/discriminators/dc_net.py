"""The discriminator-classifier network (Ayush; Lahiri et al. 2017): K classes and "fake"."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.blocks import convolution, draw_weights
from search_spaces.description import Normalisation
from search_spaces.normalisation import linear

PATCH = 64
SLOPE = 0.1


class DCNet(nn.Module):
    """DC-net of Lahiri et al. 2017: float (N, C, H, W) to verdicts (N, 1, h, w) on 64x64 patches.

    The network tells apart K + 1 classes of a patch: the K that an annotated patch may have, which
    is the class of its central pixel, and "fake". The verdict is the logit of "not fake",

        log(exp(z_1) + ... + exp(z_K)) - z_(K+1),

    whose sigmoid is 1 - p(K+1) of the softmax over all classes; `class_logits` gives the z.

    Four 4x4 convolutions of stride 2 to 1, 2, 4 and 8 times the channels of the first, each with
    instance norm and leaky ReLU of slope 0.1; a linear layer. Patch size, norm, slope and classes
    are published; kernels, channels and the number of layers are not, and follow the discriminator
    of Radford et al. 2016.

    Inputs are cut into patches side by side, each of which is judged as if alone. They are padded
    with zeros, equally on both sides, to multiples of 64 pixels.

    Args:
        in_channels: channels of the input.
        classes: number K of the classes of annotated patches.
        width: channels of the first convolution.
        normalisation: of the convolutions, "instance" as published; "spectral" of the linear layer
            as well.

    Raises:
        ValueError: classes or width is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        classes: int = 2,
        width: int = 64,
        normalisation: Normalisation = "instance",
    ) -> None:
        super().__init__()
        if min(classes, width) < 1:
            raise ValueError(f"classes and width must be at least 1, not {classes} and {width}")
        channels = [width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for before, after in pairwise([in_channels, *channels]):
            layers += convolution(normalisation, before, after, 4, stride=2, padding=1, slope=SLOPE)
        side = PATCH // 2 ** len(channels)
        self.features = nn.Sequential(*layers)
        self.head = linear(normalisation, channels[-1] * side * side, classes + 1)
        draw_weights(self, normalisation)

    def forward(self, maps: Tensor) -> Tensor:
        logits = self.class_logits(maps)
        return logits[:, :-1].logsumexp(1, keepdim=True) - logits[:, -1:]

    def class_logits(self, maps: Tensor) -> Tensor:
        """Logits (N, K + 1, h, w) of the K classes and, last, "fake", for each patch."""
        patches = cut(maps)
        logits = self.head(self.features(patches.flatten(0, 2)).flatten(1))
        return logits.unflatten(0, patches.shape[:3]).movedim(-1, 1)


def cut(maps: Tensor) -> Tensor:
    """Patches (N, h, w, C, 64, 64) of (N, C, H, W)."""
    rows, columns = (-side % PATCH for side in maps.shape[-2:])
    top, left = rows // 2, columns // 2
    padded = functional.pad(maps, (left, columns - left, top, rows - top))
    return padded.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5)
