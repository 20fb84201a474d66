"""The layer that segmenters are made of."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn

from search_spaces.normalisation import conv2d, norm_layer

Normalisation: TypeAlias = Literal["none", "batch", "instance", "group"]


def convolution(
    in_channels: int, out_channels: int, normalisation: Normalisation
) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size, its normalisation, and ReLU.

    The convolution has a bias if no normalisation follows.
    """
    return [
        conv2d(normalisation, in_channels, out_channels, 3, padding=1),
        norm_layer(normalisation, out_channels),
        nn.ReLU(inplace=True),
    ]
