"""The compressed U-Net of Livne 2019, whole or on tiles, for images of any size."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.augmentation.tiles import join
from nas.segmenters.blocks import Normalisation
from search_spaces.initialisation import he_initialise
from search_spaces.normalisation import conv2d, norm_layer

Tiles: TypeAlias = Literal["none", "quarters", "mirrored"]

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The quarters of an image as (lower, right)."""


def compressed_unet(
    in_channels: int,
    classes: int,
    *,
    width: int = 32,
    normalisation: Normalisation = "none",
    tiles: Tiles = "none",
) -> nn.Module:
    """Float (N, C, H, W) to logits (N, K, H, W), see `CompressedUNet`.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background included.
        width: channels of the first level.
        normalisation: "batch" is the network of the report, "none" that of its code.
        tiles: whether the network sees the image whole ("none"), each of its quarters alone
            ("quarters"), or each quarter mirrored to the size of the image ("mirrored"), see
            `Quartered`.
    """
    network = CompressedUNet(in_channels, classes, width, normalisation)
    return network if tiles == "none" else Quartered(network, mirrored=tiles == "mirrored")


class CompressedUNet(nn.Module):
    """The network of Livne 2019: float (N, C, H, W) to logits (N, K, H, W).

    A U-Net of three levels and two poolings whose last layers are a linear convolution, one of two
    channels, and a 1x1 convolution; 466,507 parameters at 1 channel, 3 classes and without
    normalisation. Features are enlarged by repetition and a 2x2 convolution that pads at the right
    and at the bottom. The report has a normalisation in all but the last two layers, before the
    ReLU; in the authors' code it is left out, and so it is here by default. An odd size is pooled
    to the next larger half, and cropped again on the way up.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background included.
        width: channels of the first level; the others have 2 and 4 times as many.
        normalisation: of every convolution but the last two.
    """

    def __init__(
        self, in_channels: int, classes: int, width: int, normalisation: Normalisation
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        one, two, four = width, 2 * width, 4 * width

        def layers(*channels: int) -> nn.Sequential:
            pairs = zip(channels, channels[1:], strict=False)
            return nn.Sequential(*(Layer(a, b, 3, normalisation) for a, b in pairs))

        self.encoder = nn.ModuleList(
            [layers(in_channels, one, one), layers(one, two, two), layers(two, four, four)]
        )
        self.upsamplers = nn.ModuleList(
            [Layer(four, two, 2, normalisation), Layer(two, one, 2, normalisation)]
        )
        self.decoder = nn.ModuleList([layers(four, two, two), layers(two, one)])
        self.linear = nn.Sequential(
            conv2d(normalisation, one, one, 3, padding=1), norm_layer(normalisation, one)
        )
        self.head = nn.Sequential(nn.Conv2d(one, 2, 3, padding=1), nn.Conv2d(2, classes, 1))
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        skips: list[Tensor] = []
        features = images
        for encode in self.encoder:
            pooled = functional.max_pool2d(features, 2, ceil_mode=True) if skips else features
            features = encode(pooled)
            skips.append(features)
        skips.pop()
        for upsample, decode in zip(self.upsamplers, self.decoder, strict=True):
            skip = skips.pop()
            height, width = skip.shape[-2:]
            enlarged = upsample(functional.interpolate(features, scale_factor=2, mode="nearest"))
            features = decode(torch.cat([skip, enlarged[..., :height, :width]], dim=1))
        return self.head(self.linear(features))


class Layer(nn.Module):
    """A convolution that keeps the size, its normalisation, and ReLU.

    An even kernel pads one pixel more at the right and at the bottom.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.convolution = conv2d(normalisation, in_channels, out_channels, kernel)
        self.norm = norm_layer(normalisation, out_channels)
        before, after = (kernel - 1) // 2, kernel // 2
        self.padding = (before, after, before, after)

    def forward(self, features: Tensor) -> Tensor:
        padded = functional.pad(features, self.padding)
        return functional.relu(self.norm(self.convolution(padded)))


class Quartered(nn.Module):
    """A segmenter that is given each quarter of an image, and its outputs put together again.

    The quarters pass as one batch, in the order upper left, upper right, lower left, lower right.
    Of an odd side the quarters share the middle row or column, which the upper or left one keeps.

    Mirrored, each quarter is continued by its reflections to the size of the image, so that the
    network sees no border inside the image and as much area as before; of each output the
    quarter's own part is kept.

    Args:
        network: a segmenter.
        mirrored: whether quarters are mirrored.
    """

    def __init__(self, network: nn.Module, mirrored: bool) -> None:
        super().__init__()
        self.network = network
        self.mirrored = mirrored

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        size = ((height + 1) // 2, (width + 1) // 2)
        quarters = [corner(images, size, *place) for place in CORNERS]
        if self.mirrored:
            quarters = [
                reflected(each, *place) for each, place in zip(quarters, CORNERS, strict=True)
            ]
        outputs = self.network(torch.cat(quarters)).chunk(len(CORNERS))
        parts = [corner(each, size, *place) for each, place in zip(outputs, CORNERS, strict=True)]
        down, across = 2 * size[0] - height, 2 * size[1] - width
        tiles = [
            part[..., lower * down :, right * across :]
            for part, (lower, right) in zip(parts, CORNERS, strict=True)
        ]
        return join(tiles, 2, 2)


def corner(images: Tensor, size: tuple[int, int], lower: int, right: int) -> Tensor:
    """The part of a size at one corner."""
    height, width = images.shape[-2:]
    top, left = lower * (height - size[0]), right * (width - size[1])
    return images[..., top : top + size[0], left : left + size[1]]


def reflected(quarter: Tensor, lower: int, right: int) -> Tensor:
    """Twice as high and wide: the quarter at its corner, and its reflections."""
    wide = torch.cat([quarter, quarter.flip(-1)][:: -1 if right else 1], dim=-1)
    return torch.cat([wide, wide.flip(-2)][:: -1 if lower else 1], dim=-2)
