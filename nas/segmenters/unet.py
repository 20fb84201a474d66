"""U-Net (Ronneberger et al. 2015) for images of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.segmenters.blocks import Normalisation, convolution
from search_spaces.initialisation import he_initialise


class UNet(nn.Module):
    """The U-Net of Ronneberger et al. 2015, Fig. 1: float (N, C, H, W) to logits (N, K, H, W).

    Two 3x3 convolutions with ReLU per level; 2x2 max pooling and twice the channels on the way
    down; 2x2 transposed convolution and half the channels on the way up, where the features of
    the same level are concatenated; a 1x1 convolution gives the logits.

    Unlike the published network, convolutions pad with zeros so that the output has the input's
    size, and there is no dropout. An odd size is pooled to the next larger half and cropped again
    on the way up; at sizes divisible by 2 ** depth nothing is cropped.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background included.
        width: channels of the first level; level i has width * 2 ** i.
        depth: number of poolings.
        normalisation: of each 3x3 convolution before its ReLU; "none" is the published network.
            "instance" needs images larger than 2 ** depth pixels.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: int = 64,
        depth: int = 4,
        normalisation: Normalisation = "none",
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, not {width} and {depth}")
        channels = [width * 2**level for level in range(depth + 1)]
        levels = list(zip([in_channels, *channels], channels, strict=False))
        self.encoder = nn.ModuleList(two_convolutions(a, b, normalisation) for a, b in levels)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        upwards = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.upsamplers = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in upwards)
        self.decoder = nn.ModuleList(two_convolutions(2 * b, b, normalisation) for _, b in upwards)
        self.head = nn.Conv2d(width, classes, 1)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        skips: list[Tensor] = []
        for level, encode in enumerate(self.encoder):
            features = encode(self.pool(features) if level else features)
            skips.append(features)
        skips.pop()
        for upsample, decode in zip(self.upsamplers, self.decoder, strict=True):
            skip = skips.pop()
            height, width = skip.shape[-2:]
            enlarged = upsample(features)[..., :height, :width]
            features = decode(torch.cat([skip, enlarged], dim=1))
        return self.head(features)


def two_convolutions(
    in_channels: int, out_channels: int, normalisation: Normalisation
) -> nn.Sequential:
    """Twice a 3x3 convolution, its normalisation, and ReLU."""
    return nn.Sequential(
        *convolution(in_channels, out_channels, normalisation),
        *convolution(out_channels, out_channels, normalisation),
    )
