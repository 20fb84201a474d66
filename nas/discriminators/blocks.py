"""The layer that the convolutional discriminators are made of, and how their weights start."""

from __future__ import annotations

import torch
from torch import nn

from search_spaces.description import Normalisation
from search_spaces.fcn_blocks import initialise
from search_spaces.normalisation import conv2d, norm_layer


def convolution(
    normalisation: Normalisation,
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: int = 1,
    slope: float = 0.0,
) -> list[nn.Module]:
    """A convolution, its norm layer, and ReLU, leaky if the slope is not 0.

    The convolution has a bias if no norm layer follows.
    """
    return [
        conv2d(normalisation, in_channels, out_channels, kernel, stride=stride, padding=padding),
        norm_layer(normalisation, out_channels),
        nn.LeakyReLU(slope, inplace=True),
    ]


def draw_weights(network: nn.Module, normalisation: Normalisation) -> None:
    """Draw weights from torch's global generator.

    Convolutions start as in He et al. 2015, linear layers as in Glorot and Bengio 2010. Under
    spectral norm convolutions start orthogonal (Saxe et al. 2014; Brock et al. 2019, with spectral
    norm): all their singular values are 1, where random ones would shrink to the largest being 1,
    and sixteen layers pass on almost nothing of their input.
    """
    if normalisation != "spectral":
        initialise(network)
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.init.orthogonal_(torch.empty_like(module.weight))
            _ = module.weight  # in training mode, one step of the power iteration
