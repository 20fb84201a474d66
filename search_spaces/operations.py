"""The candidate operations of a cell, by name (Liu et al. 2019, section 3.1).

Every operation maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)), at odd sizes too.
`none` has no module: whatever holds operations leaves it out, since it contributes exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.description import Normalisation
from search_spaces.normalisation import conv2d, norm_layer


@dataclass(frozen=True)
class Style:
    """How the operations of a network are built, apart from their shapes.

    ``affine`` gives norm layers a learned scale and shift, ``pool_norm`` puts one behind pooling.
    DARTS searches without scales, which could undo the probabilities, and with normalised pools,
    which would else differ in scale from the convolutions. It trains what it found the other way.
    """

    normalisation: Normalisation = "batch"
    affine: bool = True
    pool_norm: bool = False

    def norm(self, channels: int) -> nn.Module:
        """Norm layer for (N, channels, H, W)."""
        return norm_layer(self.normalisation, channels, self.affine)


class FactorisedReduction(nn.Module):
    """Half the spatial size by two 1x1 convolutions of stride 2, one on pixels shifted by (1, 1).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2)). Beyond the border of an
    odd size the shifted pixels are zero.
    """

    def __init__(self, in_channels: int, out_channels: int, style: Style) -> None:
        super().__init__()
        half = out_channels // 2
        self.even = conv2d(style.normalisation, in_channels, out_channels - half, 1, stride=2)
        self.odd = conv2d(style.normalisation, in_channels, half, 1, stride=2)
        self.norm = style.norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        shifted = functional.pad(x, (-1, 1, -1, 1))
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


def relu_conv_norm(in_channels: int, out_channels: int, style: Style) -> nn.Module:
    """1x1 convolution that brings an input of a cell to the cell's number of channels."""
    return nn.Sequential(
        nn.ReLU(),
        conv2d(style.normalisation, in_channels, out_channels, 1),
        style.norm(out_channels),
    )


def build_operation(name: str, channels: int, stride: int, style: Style) -> nn.Module:
    """Module of the operation ``name`` on (N, channels, H, W).

    Raises:
        KeyError: there is no module of this name.
    """
    return _BUILDERS[name](channels, stride, style)


def _pool(layer: nn.Module, channels: int, style: Style) -> nn.Module:
    return nn.Sequential(layer, style.norm(channels)) if style.pool_norm else layer


def _max_pool(channels: int, stride: int, style: Style) -> nn.Module:
    return _pool(nn.MaxPool2d(3, stride, padding=1), channels, style)


def _avg_pool(channels: int, stride: int, style: Style) -> nn.Module:
    layer = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    return _pool(layer, channels, style)


def _skip(channels: int, stride: int, style: Style) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorisedReduction(channels, channels, style)


def _separable(
    channels: int, kernel: int, stride: int, style: Style, dilation: int = 1
) -> list[nn.Module]:
    """ReLU, a convolution within each channel, one across channels, norm."""
    kind = style.normalisation
    padding = dilation * (kernel - 1) // 2
    return [
        nn.ReLU(),
        conv2d(
            kind,
            channels,
            channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=channels,
            bias=False,
        ),
        conv2d(kind, channels, channels, 1),
        style.norm(channels),
    ]


def _separable_twice(kernel: int) -> Callable[[int, int, Style], nn.Module]:
    def build(channels: int, stride: int, style: Style) -> nn.Module:
        return nn.Sequential(
            *_separable(channels, kernel, stride, style), *_separable(channels, kernel, 1, style)
        )

    return build


def _dilated(kernel: int) -> Callable[[int, int, Style], nn.Module]:
    def build(channels: int, stride: int, style: Style) -> nn.Module:
        return nn.Sequential(*_separable(channels, kernel, stride, style, dilation=2))

    return build


_BUILDERS: dict[str, Callable[[int, int, Style], nn.Module]] = {
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip,
    "sep_conv_3x3": _separable_twice(3),
    "sep_conv_5x5": _separable_twice(5),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
}
