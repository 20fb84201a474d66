"""Residual networks (He et al. 2016) as discriminators of any input size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from search_spaces.description import Normalisation
from search_spaces.initialisation import he_initialise
from search_spaces.normalisation import conv2d, linear, norm_layer

Branch: TypeAlias = Callable[[int, int, int, Normalisation], list[nn.Module]]


def resnet10(
    in_channels: int,
    outputs: int = 1,
    *,
    width: int = 64,
    normalisation: Normalisation = "batch",
) -> ResNet:
    """One basic block per stage: the "variant of ResNet18 with only 4 residual blocks" of Dong."""
    return ResNet(in_channels, outputs, basic, 1, (1, 1, 1, 1), width, normalisation)


def resnet18(
    in_channels: int,
    outputs: int = 1,
    *,
    width: int = 64,
    normalisation: Normalisation = "batch",
) -> ResNet:
    """Two basic blocks per stage; 11,689,512 parameters at 3 channels and 1000 outputs."""
    return ResNet(in_channels, outputs, basic, 1, (2, 2, 2, 2), width, normalisation)


def resnet50(
    in_channels: int,
    outputs: int = 1,
    *,
    width: int = 64,
    normalisation: Normalisation = "batch",
) -> ResNet:
    """3, 4, 6 and 3 bottleneck blocks; 25,557,032 parameters at 3 channels and 1000 outputs."""
    return ResNet(in_channels, outputs, bottleneck, 4, (3, 4, 6, 3), width, normalisation)


class ResNet(nn.Module):
    """Residual network of He et al. 2016, Table 1: float (N, C, H, W) to logits (N, outputs).

    A 7x7 convolution of stride 2 and a 3x3 max pooling of stride 2; four stages of residual
    blocks with 1, 2, 4 and 8 times the channels, the last three of which start with stride 2;
    the mean over all positions; one linear layer. In bottleneck blocks the 3x3 convolution has
    the stride, not the first 1x1 as published; the number of parameters is the same.

    Args:
        in_channels: channels of the input.
        outputs: number of logits.
        branch: layers of a residual block beside its shortcut: ``basic`` or ``bottleneck``.
        expansion: channels of a block's output in units of its stage's.
        blocks: number of blocks in each of the four stages.
        width: channels of the first convolution.
        normalisation: "batch", "instance" or "group" follow each convolution; "spectral" divides
            the weights of every layer by their largest singular value; "none" starts the last
            convolution of each block smaller by the root of the number of blocks, so that the
            variance stays bounded with depth. "instance" needs inputs larger than 32 pixels.

    Raises:
        ValueError: width is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        branch: Branch,
        expansion: int,
        blocks: Sequence[int],
        width: int,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.stem = nn.Sequential(
            *convolution(in_channels, width, 7, normalisation, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        residuals: list[Residual] = []
        channels = width
        for stage, count in enumerate(blocks):
            out_channels = width * 2**stage * expansion
            for position in range(count):
                stride = 2 if stage > 0 and position == 0 else 1
                layers = branch(channels, out_channels, stride, normalisation)
                bypass = shortcut(channels, out_channels, stride, normalisation)
                residuals.append(Residual(layers, bypass))
                channels = out_channels
        self.blocks = nn.Sequential(*residuals)
        self.head = linear(normalisation, channels, outputs)
        if normalisation != "spectral":
            he_initialise(self)
        if normalisation == "none":
            shrink_branches(residuals)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.blocks(self.stem(maps))
        return self.head(features.mean((-2, -1)))


class Residual(nn.Module):
    """ReLU of the sum of a branch and its shortcut."""

    def __init__(self, branch: Sequence[nn.Module], shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.relu(self.branch(features) + self.shortcut(features))


def basic(
    in_channels: int, out_channels: int, stride: int, normalisation: Normalisation
) -> list[nn.Module]:
    """Two 3x3 convolutions (He et al. 2016, Fig. 5, left)."""
    return [
        *convolution(in_channels, out_channels, 3, normalisation, stride),
        nn.ReLU(inplace=True),
        *convolution(out_channels, out_channels, 3, normalisation),
    ]


def bottleneck(
    in_channels: int, out_channels: int, stride: int, normalisation: Normalisation
) -> list[nn.Module]:
    """1x1, 3x3 and 1x1 convolutions, a quarter of the channels inside (Fig. 5, right)."""
    inner = out_channels // 4
    return [
        *convolution(in_channels, inner, 1, normalisation),
        nn.ReLU(inplace=True),
        *convolution(inner, inner, 3, normalisation, stride),
        nn.ReLU(inplace=True),
        *convolution(inner, out_channels, 1, normalisation),
    ]


def shortcut(
    in_channels: int, out_channels: int, stride: int, normalisation: Normalisation
) -> nn.Module:
    """The identity, or a 1x1 convolution where the shape changes (option B of the paper)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(*convolution(in_channels, out_channels, 1, normalisation, stride))


def convolution(
    in_channels: int, out_channels: int, kernel: int, normalisation: Normalisation, stride: int = 1
) -> list[nn.Module]:
    """A convolution that keeps the size up to its stride, and its normalisation."""
    return [
        conv2d(
            normalisation, in_channels, out_channels, kernel, stride=stride, padding=kernel // 2
        ),
        norm_layer(normalisation, out_channels),
    ]


def shrink_branches(residuals: Sequence[Residual]) -> None:
    """Divide the last convolution of every branch by the root of the number of blocks."""
    for residual in residuals:
        last = residual.branch[-2]
        assert isinstance(last, nn.Conv2d)
        with torch.no_grad():
            last.weight /= math.sqrt(len(residuals))
