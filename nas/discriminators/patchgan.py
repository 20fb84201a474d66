"""PatchGAN (Isola et al. 2017): a verdict on every patch."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, TypeAlias

from torch import Tensor, nn

from nas.discriminators.blocks import convolution, draw_weights
from search_spaces.description import Normalisation
from search_spaces.normalisation import conv2d

Layer: TypeAlias = tuple[int, int, int]

LAYERS: dict[int, tuple[Layer, ...]] = {
    1: ((1, 1, 0),) * 3,
    16: ((4, 2, 1), *((4, 1, 1),) * 2),
    70: (*((4, 2, 1),) * 3, *((4, 1, 1),) * 2),
    256: ((4, 2, 2), *((3, 2, 1),) * 4, *((4, 1, 2),) * 2),
    286: (*((4, 2, 2),) * 5, *((4, 1, 2),) * 2),
}
"""Kernel, stride and padding of each convolution, by receptive field in pixels."""

SLOPE = 0.2


class PatchGAN(nn.Module):
    """PatchGAN of Isola et al. 2017, section 6.1.2: float (N, C, H, W) to (N, outputs, h, w).

    Convolutions to 1, 2, 4, 8, 8 and 8 times the channels of the first, as many as the receptive
    field needs, with leaky ReLU of slope 0.2 and, from the second on, batch norm; one more
    convolution to the logits. Each logit judges the patch of the input that it sees.

    Receptive fields of 1, 16, 70 and 286 pixels are published (the first with 1x1 convolutions of
    stride 1 throughout, the others with 4x4 ones). Lalwani tries 16, 70 and 256. No row of 4x4
    convolutions, all but the last two of stride 2, sees 256 pixels: here the second to fifth
    convolution of the 286 are 3x3 instead.

    The paper says "stride 2" of all convolutions and nothing of padding. Its receptive fields need
    stride 1 in the last two, as its authors' code has it; padding is 1 as in that code, so that
    the 70 gives 30x30 verdicts on 256x256 pixels. At 256 and 286 it is 2 for 4x4 convolutions, so
    that images much smaller than the patch have verdicts too. Published weights start from a normal
    of standard deviation 0.02; here `draw_weights` draws them.

    Args:
        in_channels: channels of the input.
        outputs: logits for each patch.
        receptive_field: height and width of a patch in pixels.
        width: channels of the first convolution.
        normalisation: of all convolutions but the first and the last, "batch" as published;
            "spectral" of all.

    Raises:
        ValueError: width is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int = 1,
        *,
        receptive_field: Literal[1, 16, 70, 256, 286] = 70,
        width: int = 64,
        normalisation: Normalisation = "batch",
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        first, *inner, last = LAYERS[receptive_field]
        channels = [width * min(2**number, 8) for number in range(1 + len(inner))]
        layers = [bare(normalisation, in_channels, width, first), nn.LeakyReLU(SLOPE, inplace=True)]
        for (before, after), (kernel, stride, padding) in zip(
            pairwise(channels), inner, strict=True
        ):
            layers += convolution(
                normalisation, before, after, kernel, stride=stride, padding=padding, slope=SLOPE
            )
        layers.append(bare(normalisation, channels[-1], outputs, last))
        self.layers = nn.Sequential(*layers)
        draw_weights(self, normalisation)

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps)


def bare(
    normalisation: Normalisation, in_channels: int, out_channels: int, layer: Layer
) -> nn.Module:
    """A convolution with bias, no norm layer behind it."""
    kernel, stride, padding = layer
    return conv2d(
        normalisation,
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=padding,
        bias=True,
    )
