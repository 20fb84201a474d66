"""The candidate operations of a cell, by name (Liu et al. 2019, section 3.1).

Every operation maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)), at odd sizes too.
`none` has no module: whatever holds operations leaves it out, since it contributes exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.description import Normalisation
from search_spaces.halves import halved
from search_spaces.kernel_choice import are_compiled
from search_spaces.kernels import LANES
from search_spaces.map_norm import normalised
from search_spaces.normalisation import conv2d, norm_layer
from search_spaces.pixel_products import pointwise


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
        self.affine, self.out_channels = style.affine, out_channels

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        if not self.affine and _have_kernels(x, self.out_channels):
            halves = zip((self.even, self.odd), halved(x.permute(0, 2, 3, 1)), strict=True)
            y = torch.cat([_convolved(half, each) for each, half in halves], dim=3)
            return _normalised(self.norm, y)
        shifted = functional.pad(x, (-1, 1, -1, 1))
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


class ReluConvNorm(nn.Sequential):
    """1x1 convolution that brings an input of a cell to the cell's number of channels."""

    def __init__(self, in_channels: int, out_channels: int, style: Style) -> None:
        convolution = conv2d(style.normalisation, in_channels, out_channels, 1)
        super().__init__(nn.ReLU(), convolution, style.norm(out_channels))
        self.affine, self.out_channels = style.affine, out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        if self.affine or not _have_kernels(x, self.out_channels):
            found: Tensor = super().forward(x)
            return found
        relu, convolution, layer = self
        return _normalised(layer, _convolved(relu(x).permute(0, 2, 3, 1), convolution))


def _have_kernels(x: Tensor, channels: int) -> bool:
    """Whether maps (N, C, H, W) and what is made of them, with channels last, have kernels."""
    return are_compiled(x.permute(0, 2, 3, 1)) and channels % LANES == 0


def _convolved(x: Tensor, convolution: nn.Module) -> Tensor:
    """(N, H, W, C) behind a 1x1 convolution, without its stride."""
    own = cast(nn.Conv2d, convolution)
    return pointwise(x, own.weight, own.bias)


def _normalised(layer: nn.Module, y: Tensor) -> Tensor:
    """(N, H, W, C), behind a norm layer without scale, as (N, C, H, W)."""
    (found,) = normalised([layer], [y.flatten(1, 2)])
    return found.unflatten(1, y.shape[1:3]).permute(0, 3, 1, 2)


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
