"""The normalisation of a network as a choice: batch, instance, group, spectral or none.

The first three are layers behind a convolution; spectral normalisation is a reparametrisation of
the convolution itself (Miyato et al. 2018). A convolution with no layer behind it has a bias.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from search_spaces.description import Normalisation

GROUPS = 4
"""Groups of a group norm at most."""


def norm_layer(normalisation: Normalisation, channels: int, affine: bool = True) -> nn.Module:
    """Layer on (N, channels, H, W); the identity for spectral and none.

    Raises:
        ValueError: there is no such normalisation.
    """
    match normalisation:
        case "batch":
            return nn.BatchNorm2d(channels, affine=affine)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=affine)
        case "group":
            return nn.GroupNorm(_groups(channels), channels, affine=affine)
        case "spectral" | "none":
            return nn.Identity()
    names = ", ".join(get_args(Normalisation))
    raise ValueError(f"normalisation {normalisation!r} is not one of {names}")


def _groups(channels: int) -> int:
    """The most groups of equal size, of two channels or more: one channel is an instance norm."""
    at_most = min(GROUPS, channels // 2)
    return max((n for n in range(1, at_most + 1) if channels % n == 0), default=1)


def has_norm_layer(normalisation: Normalisation) -> bool:
    """Whether a layer behind the convolution normalises (and so makes its bias useless)."""
    return normalisation not in ("spectral", "none")


def conv2d(
    normalisation: Normalisation,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool | None = None,
) -> nn.Module:
    """Convolution as the normalisation wants it: spectrally normalised, with bias where needed.

    Args:
        bias: by default, whether no norm layer follows.
    """
    kind = PointwiseConv2d if kernel_size == 1 and not padding else nn.Conv2d
    convolution = kind(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        bias=not has_norm_layer(normalisation) if bias is None else bias,
    )
    return spectral_norm(convolution) if normalisation == "spectral" else convolution


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution without padding, which takes every stride-th pixel before it multiplies.

    oneDNN's strided weight gradient of few channels, with channels last, writes beyond its memory:
    it crashes or is wrong (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        rows, columns = self.stride
        seen = input[..., ::rows, ::columns]
        return functional.conv2d(seen, self.weight, self.bias, groups=self.groups)


class StackedConvolution(nn.Module):
    """The weights of several convolutions as `conv2d` makes them, stacked along the first axis.

    Each is initialised, and spectrally normalised, for itself.

    Args:
        normalisation: of the network.
        copies: number of convolutions.
        in_channels: that each output channel sees.
        out_channels: of each convolution.
        kernel_size: k.
        bias: by default, whether no norm layer follows.

    Attributes:
        weight: (copies * out_channels, in_channels, k, k).
        bias: (copies * out_channels,), or None.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        normalisation: Normalisation,
        copies: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        drawn = nn.Conv2d(
            copies * in_channels,
            copies * out_channels,
            kernel_size,
            groups=copies,
            bias=not has_norm_layer(normalisation) if bias is None else bias,
        )
        self.copies = copies
        self.weight = drawn.weight
        self.bias = drawn.bias
        if normalisation == "spectral":
            register_parametrization(self, "weight", _StackedSpectralNorm(drawn.weight, copies))

    def with_bias(self, y: Tensor) -> Tensor:
        """What the products (..., copies, out_channels) are with the biases."""
        return y if self.bias is None else y + self.bias.view(self.copies, -1)


def linear(normalisation: Normalisation, in_features: int, out_features: int) -> nn.Module:
    """Linear layer with bias, spectrally normalised if the network is."""
    layer = nn.Linear(in_features, out_features)
    return spectral_norm(layer) if normalisation == "spectral" else layer


class _StackedSpectralNorm(nn.Module):
    """Weights, each divided by its largest singular value, as `spectral_norm` does with one.

    The value is found by one step of the power method for each forward pass in training.

    Args:
        weight: (copies * out_channels, ...), the weights one behind the other.
        copies: how many there are.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, copies: int) -> None:
        super().__init__()
        self.copies = copies
        matrices = self._matrices(weight)
        self.register_buffer("_u", _unit(torch.randn_like(matrices[..., 0])).flatten())
        self.register_buffer("_v", _unit(torch.randn_like(matrices[:, 0])).flatten())
        self._approach(matrices, steps=15)

    def forward(self, weight: Tensor) -> Tensor:
        """The weights divided by their norms."""
        matrices = self._matrices(weight)
        if self.training:
            self._approach(matrices, steps=1)
        left = self._u.clone().view(self.copies, 1, -1)
        right = self._v.clone().view(self.copies, -1, 1)
        return (matrices / (left @ (matrices @ right))).view(weight.shape)

    def _matrices(self, weight: Tensor) -> Tensor:
        return weight.flatten(1).unflatten(0, (self.copies, -1))

    @torch.no_grad()
    def _approach(self, matrices: Tensor, steps: int) -> None:
        for _ in range(steps):
            right = self._v.view(self.copies, -1, 1)
            left = _unit((matrices @ right).squeeze(2))
            self._u.copy_(left.flatten())
            right = _unit((left.unsqueeze(1) @ matrices).squeeze(1))
            self._v.copy_(right.flatten())


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=1, eps=1e-12)
