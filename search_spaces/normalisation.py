"""The normalisation of a network as a choice: batch, instance, group, spectral or none.

The first three are layers behind a convolution; spectral normalisation is a reparametrisation of
the convolution itself (Miyato et al. 2018). A convolution with no layer behind it has a bias.
"""

from __future__ import annotations

from typing import get_args

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

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
    convolution = nn.Conv2d(
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


def linear(normalisation: Normalisation, in_features: int, out_features: int) -> nn.Module:
    """Linear layer with bias, spectrally normalised if the network is."""
    layer = nn.Linear(in_features, out_features)
    return spectral_norm(layer) if normalisation == "spectral" else layer
