"""DeepLabv3+ (Chen et al. 2018) on the modified aligned Xception, for images of any size."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.segmenters.blocks import Normalisation
from nas.segmenters.xception import Xception, separable
from search_spaces.initialisation import he_initialise
from search_spaces.normalisation import conv2d, norm_layer

DILATIONS = (6, 12, 18)
"""Of the 3x3 branches of the pyramid at output stride 16; at 8 they are doubled."""


class DeepLabV3Plus(nn.Module):
    """Encoder and decoder of Chen et al. 2018: float (N, C, H, W) to logits (N, K, H, W).

    The features of Xception pass an atrous spatial pyramid: a 1x1 convolution, separable 3x3
    convolutions of dilation 6, 12 and 18, and the mean over the image, 256 channels each, brought
    together by a 1x1 convolution. The decoder joins them with Xception's features at stride 4,
    reduced to 48 channels, by two separable 3x3 convolutions of 256 channels, and scores the
    classes; enlargements are bilinear and exact at any size.

    Unlike the published network, there are no ImageNet weights, and the mean over the image has no
    norm layer behind its convolution, but a bias: one value per image and channel leaves nothing
    to normalise.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background included.
        width: channels of the second convolution; all others scale with it, to the next integer.
        middle_modules: modules of Xception's middle flow.
        output_stride: of Xception's last features; 8 is finer and costs four times as much there.
        normalisation: "batch" is the published network. "instance" needs features larger than one
            pixel, that is images larger than the output stride.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: int = 64,
        middle_modules: int = 16,
        output_stride: Literal[8, 16] = 16,
        normalisation: Normalisation = "batch",
    ) -> None:
        super().__init__()
        if width < 1 or middle_modules < 0:
            raise ValueError(
                f"width must be at least 1 and middle_modules at least 0, "
                f"not {width} and {middle_modules}"
            )

        def scale(channels: int) -> int:
            return max(1, round(channels * width / 64))

        self.encoder = Xception(in_channels, scale, middle_modules, output_stride, normalisation)
        inner, reduced = scale(256), scale(48)
        dilations = [rate * 16 // output_stride for rate in DILATIONS]
        self.pyramid = Pyramid(self.encoder.channels, inner, dilations, normalisation)
        self.reduce = nn.Sequential(
            conv2d(normalisation, self.encoder.shallow_channels, reduced, 1),
            norm_layer(normalisation, reduced),
            nn.ReLU(inplace=True),
        )
        self.decoder = nn.Sequential(
            separable(inner + reduced, inner, 1, 1, normalisation),
            nn.ReLU(inplace=True),
            separable(inner, inner, 1, 1, normalisation),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, classes, 1),
        )
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        shallow, deep = self.encoder(images)
        context = enlarge(self.pyramid(deep), shallow)
        scores = self.decoder(torch.cat([context, self.reduce(shallow)], dim=1))
        return enlarge(scores, images)


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling with image pooling (Chen et al. 2017, section 3.3).

    Args:
        in_channels: channels of the features.
        channels: of each branch and of the output.
        dilations: of the separable 3x3 branches.
        normalisation: of all convolutions but that behind the mean.
    """

    def __init__(
        self, in_channels: int, channels: int, dilations: list[int], normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.point = _point(in_channels, channels, normalisation)
        self.atrous = nn.ModuleList(
            nn.Sequential(
                separable(in_channels, channels, 1, dilation, normalisation), nn.ReLU(inplace=True)
            )
            for dilation in dilations
        )
        self.image = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, channels, 1), nn.ReLU(inplace=True)
        )
        self.project = nn.Sequential(
            _point((len(dilations) + 2) * channels, channels, normalisation), nn.Dropout(0.1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, h, w) of features (N, in_channels, h, w)."""
        branches = [self.point(features), *(branch(features) for branch in self.atrous)]
        image = self.image(features).expand(-1, -1, *features.shape[-2:])
        return self.project(torch.cat([*branches, image], dim=1))


def enlarge(features: Tensor, like: Tensor) -> Tensor:
    """Features in the height and width of another tensor, bilinearly."""
    return functional.interpolate(
        features, size=like.shape[-2:], mode="bilinear", align_corners=False
    )


def _point(in_channels: int, channels: int, normalisation: Normalisation) -> nn.Sequential:
    return nn.Sequential(
        conv2d(normalisation, in_channels, channels, 1),
        norm_layer(normalisation, channels),
        nn.ReLU(inplace=True),
    )
