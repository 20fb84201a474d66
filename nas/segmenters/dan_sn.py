"""The segmentation network of the deep adversarial network (Zhang et al. 2017), for any size."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.segmenters.blocks import Normalisation, convolution
from search_spaces.initialisation import he_initialise
from search_spaces.normalisation import conv2d, norm_layer

DAN_STAGES = ((1, 1), (2,), (2, 4), (8, 8), (8, 8), (16, 16))
"""Channels of the convolutions in units of the first one's; later stages begin by pooling."""

TAPS = 3
"""How many of the last stages are upsampled."""


class DanSN(nn.Module):
    """SN of the deep adversarial network: float (N, C, H, W) to logits (N, K, H, W).

    3x3 convolutions with norm layer and ReLU in six stages, between them 2x2 poolings of stride 2
    with padding 1; the last three stages' outputs, upsampled to the image's size with norm layer
    and ReLU, are concatenated, the last stage first; a convolution to half the channels and a 1x1
    convolution give the logits. 41,860,032 parameters at 3 channels and 2 classes.

    Zhang et al. 2017 describe learnt deconvolutions; bilinear upsampling is that of the
    implementation that Nelson 2022 compares with, and has no fixed image size.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background included.
        width: channels of the first convolution; all others scale with it.
        normalisation: "batch" is the published network.

    Raises:
        ValueError: width is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: int = 64,
        normalisation: Normalisation = "batch",
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.stages = make_stages(in_channels, width, DAN_STAGES, normalisation)
        taps = [stage[-1] * width for stage in DAN_STAGES[: -TAPS - 1 : -1]]
        self.taps = nn.ModuleList(tap(channels, normalisation) for channels in taps)
        half = sum(taps) // 2
        self.mapping = nn.Sequential(
            *convolution(sum(taps), half, normalisation),
            conv2d(normalisation, half, classes, 1, bias=False),
        )
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        last_first = run_stages(self.stages, images)[::-1]
        upsampled = [
            layer(upsample(features, images))
            for layer, features in zip(self.taps, last_first, strict=False)
        ]
        return self.mapping(torch.cat(upsampled, dim=1))


def make_stages(
    in_channels: int,
    width: int,
    factors: tuple[tuple[int, ...], ...],
    normalisation: Normalisation,
) -> nn.ModuleList:
    """Convolutions of ``factors * width`` channels; each stage but the first pools first."""
    stages = nn.ModuleList()
    for number, stage in enumerate(factors):
        channels = [in_channels, *(factor * width for factor in stage)]
        layers = [
            layer for a, b in pairwise(channels) for layer in convolution(a, b, normalisation)
        ]
        pooling = [nn.MaxPool2d(2, stride=2, padding=1)] if number else []
        stages.append(nn.Sequential(*pooling, *layers))
        in_channels = channels[-1]
    return stages


def run_stages(stages: nn.ModuleList, images: Tensor) -> list[Tensor]:
    """The output of every stage."""
    outputs = [images]
    for stage in stages:
        outputs.append(stage(outputs[-1]))
    return outputs[1:]


def tap(channels: int, normalisation: Normalisation) -> nn.Sequential:
    """Norm layer and ReLU of upsampled features."""
    return nn.Sequential(norm_layer(normalisation, channels), nn.ReLU())


def upsample(features: Tensor, images: Tensor) -> Tensor:
    """Features in the height and width of the images."""
    return functional.interpolate(
        features, size=images.shape[-2:], mode="bilinear", align_corners=False
    )
