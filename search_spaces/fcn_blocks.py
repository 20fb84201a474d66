"""The encoder of FlexVGG and ConcatenationFCN: an input block and FCN blocks (Nelson 2022).

A unit is a 3x3 convolution that keeps the size, a norm layer and a ReLU. An FCN block is a 2x2 max
pooling of stride 2 with padding 1, which makes n pixels floor(n / 2) + 1, and units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import msgspec
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.description import Normalisation
from search_spaces.initialisation import he_initialise
from search_spaces.normalisation import conv2d, linear, norm_layer
from search_spaces.parametric_genotypes import (
    CHANNELS_PER_GROUP,
    ConcatenationFCN,
    FlexVGG,
    block_channels,
    input_channels,
)
from search_spaces.relaxed_sizes import MakeUnit, RelaxedChain


class Encoder(nn.Module):
    """Input block and FCN blocks: float (N, in_channels, H, W) to the outputs of all FCN blocks.

    Args:
        network: the numbers that define it.
        in_channels: channels of the input, >= 1.

    Attributes:
        channels: of the last block's output.
    """

    def __init__(self, network: FlexVGG | ConcatenationFCN, in_channels: int) -> None:
        super().__init__()
        make_unit = partial(unit, network.normalisation)
        widths = (input_channels(network), *block_channels(network))
        self.input = chain(in_channels, widths[0], make_unit)
        self.blocks = nn.ModuleList(
            chain(before[-1], block, make_unit) for before, block in pairwise(widths)
        )
        self.channels = widths[-1][-1]

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.input(images)
        outputs = []
        for block in self.blocks:
            features = block(pool(features))
            outputs.append(features)
        return outputs


class RelaxedEncoder(nn.Module):
    """The encoders of many networks in one: the expectations of the outputs of their FCN blocks.

    The expectation is over the encoders' widths and depths of blocks; a network of few blocks
    counts in the later ones too, with the channels that it would have there.

    Args:
        networks: the numbers that define each.
        in_channels: channels of the input, >= 1.

    Attributes:
        channels: of each block's output.
    """

    def __init__(
        self, networks: Sequence[FlexVGG] | Sequence[ConcatenationFCN], in_channels: int
    ) -> None:
        super().__init__()
        make_unit = partial(unit, networks[0].normalisation)
        most = max(network.blocks for network in networks)
        widths = [
            block_channels(msgspec.structs.replace(network, blocks=most)) for network in networks
        ]
        self.input = RelaxedChain(in_channels, [*map(input_channels, networks)], make_unit)
        self.blocks = nn.ModuleList()
        self.channels: list[int] = []
        last = self.input.channels
        for block in zip(*widths, strict=True):
            relaxed = RelaxedChain(last, block, make_unit)
            last = relaxed.channels
            self.blocks.append(relaxed)
            self.channels.append(last)

    def forward(self, images: Tensor, joint: Tensor) -> list[Tensor]:
        features = self.input(images, joint)
        outputs = []
        for block in self.blocks:
            features = block(pool(features), joint)
            outputs.append(features)
        return outputs


def chain(in_channels: int, widths: Sequence[int], make_unit: MakeUnit) -> nn.Sequential:
    """Layers in a row."""
    return nn.Sequential(*(make_unit(a, b) for a, b in pairwise([in_channels, *widths])))


def unit(normalisation: Normalisation, in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution, norm layer, ReLU; the convolution has a bias if no norm layer follows."""
    return nn.Sequential(
        conv2d(normalisation, in_channels, out_channels, 3, padding=1),
        norm(normalisation, out_channels),
        nn.ReLU(inplace=True),
    )


def linear_unit(normalisation: Normalisation, in_features: int, out_features: int) -> nn.Sequential:
    """Linear layer, norm layer on (N, features), ReLU; under "instance" nothing to normalise."""
    layers: dict[Normalisation, Callable[[int], nn.Module]] = {
        "batch": nn.BatchNorm1d,
        "group": group_norm,
    }
    return nn.Sequential(
        linear(normalisation, in_features, out_features),
        layers.get(normalisation, nn.Identity)(out_features),
        nn.ReLU(inplace=True),
    )


def norm(normalisation: Normalisation, channels: int) -> nn.Module:
    """Norm layer that treats the first channels alike, however many there are."""
    if normalisation == "group":
        return group_norm(channels)
    return norm_layer(normalisation, channels)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of as many groups of 8 channels as there are."""
    return nn.GroupNorm(channels // CHANNELS_PER_GROUP, channels)


def pool(features: Tensor) -> Tensor:
    """The pooling at the start of an FCN block."""
    return functional.max_pool2d(features, 2, stride=2, padding=1)


def initialise(network: nn.Module) -> None:
    """Draw weights as published, from torch's global generator.

    Convolutions start as in He et al. 2015, linear layers as in Glorot and Bengio 2010 (uniform).
    """
    he_initialise(network)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
