"""A fully convolutional encoder and decoder: a verdict on every pixel."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.blocks import convolution, draw_weights
from search_spaces.description import Normalisation
from search_spaces.normalisation import conv2d

SLOPE = 0.2


class FCN(nn.Module):
    """Encoder and decoder as in Lalwani, section III-B: float (N, C, H, W) to (N, outputs, H, W).

    Each logit says whether the class of its pixel is right. The document names the type of the
    network and no layers. The encoder is that of the discriminator it builds on (Hung et al. 2018,
    section 3.3): 4x4 convolutions of stride 2 to 1, 2, 4 and 8 times the channels of the first,
    with leaky ReLU of slope 0.2, without normalisation. Hung et al. score the result, at a
    sixteenth of the resolution, with one more such convolution and enlarge the scores. Here a
    decoder goes back through the sizes and channels of the encoder: at each, bilinear upsampling
    and a 3x3 convolution, with leaky ReLU but for the last. Nothing bypasses the narrowest map.

    Args:
        in_channels: channels of the input.
        outputs: logits for each pixel.
        width: channels of the first convolution.
        depth: convolutions of the encoder, each of which halves the size; from the fifth on they
            have 8 times the channels of the first. Inputs need 2**depth pixels in height and width.
        normalisation: of all convolutions but the last; "spectral" of that as well. "instance"
            needs more than one pixel in the narrowest map.

    Raises:
        ValueError: width or depth is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int = 1,
        *,
        width: int = 64,
        depth: int = 4,
        normalisation: Normalisation = "none",
    ) -> None:
        super().__init__()
        if min(width, depth) < 1:
            raise ValueError(f"width and depth must be at least 1, not {width} and {depth}")
        channels = [width * min(2**level, 8) for level in range(depth)]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                *convolution(normalisation, before, after, 4, stride=2, padding=1, slope=SLOPE)
            )
            for before, after in pairwise([in_channels, *channels])
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(*convolution(normalisation, before, after, slope=SLOPE))
            for before, after in pairwise(reversed(channels))
        )
        self.decoder.append(conv2d(normalisation, width, outputs, 3, padding=1, bias=True))
        draw_weights(self, normalisation)

    def forward(self, maps: Tensor) -> Tensor:
        sizes = []
        features = maps
        for encode in self.encoder:
            sizes.append(features.shape[-2:])
            features = encode(features)
        for decode, size in zip(self.decoder, reversed(sizes), strict=True):
            features = decode(
                functional.interpolate(features, size=size, mode="bilinear", align_corners=False)
            )
        return features
