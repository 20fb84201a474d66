"""The modified aligned Xception of DeepLabv3+ (Chen et al. 2018, section 3.3, Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from torch import Tensor, nn

from nas.segmenters.blocks import Normalisation
from search_spaces.normalisation import conv2d, norm_layer

Scale: TypeAlias = Callable[[int], int]
"""From a published number of channels to one's own."""

SHALLOW_STRIDE = 4
"""Stride of the features that the decoder takes from the entry flow."""


class Xception(nn.Module):
    """Float (N, C, H, W) to features at a stride of 4 and at the output stride.

    Entry flow: two 3x3 convolutions of 32 and 64 channels and three strided modules of 128, 256
    and 728; middle flow: modules of 728; exit flow: a strided module of 728, 1024 and 1024, and
    convolutions of 1536, 1536 and 2048. A module has three separable convolutions behind ReLU and
    a shortcut around them; strided modules replace the max poolings of Chollet 2017. Where the
    output stride is reached, strides become dilations of what follows.

    Args:
        in_channels: channels of the image.
        scale: from the published channels to those of this network.
        middle_modules: modules of the middle flow; published: 16.
        output_stride: of the last features, 8 or 16.
        normalisation: behind every convolution.

    Attributes:
        shallow_channels, channels: of both features.
    """

    def __init__(
        self,
        in_channels: int,
        scale: Scale,
        middle_modules: int,
        output_stride: int,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        self._stride, self._dilation = 2, 1
        self._output_stride, self._normalisation = output_stride, normalisation
        one, two = scale(32), scale(64)
        self.stem = nn.Sequential(
            conv2d(normalisation, in_channels, one, 3, stride=2, padding=1),
            norm_layer(normalisation, one),
            nn.ReLU(inplace=True),
            conv2d(normalisation, one, two, 3, padding=1),
            norm_layer(normalisation, two),
        )
        small, wide, wider = scale(128), scale(256), scale(728)
        self.entry1 = self._module((two, small, small, small), 2)
        self.entry2 = self._module((small, wide, wide, wide), 2)
        self.entry3 = self._module((wide, wider, wider, wider), 2)
        self.middle = nn.Sequential(*(self._module((wider,) * 4, 1) for _ in range(middle_modules)))
        self.exit1 = self._module((wider, wider, scale(1024), scale(1024)), 2)
        last = (scale(1024), scale(1536), scale(1536), scale(2048))
        self.exit2 = separable_row(last, 1, self._dilation, normalisation)
        self.shallow_channels, self.channels = wide, last[-1]

    def _module(self, channels: Sequence[int], stride: int) -> Module:
        """The next module: strided, or, at the output stride, a reason to dilate those after it."""
        dilation = self._dilation
        if self._stride * stride > self._output_stride:
            self._dilation *= stride
            stride = 1
        self._stride *= stride
        return Module(channels, stride, dilation, self._normalisation)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C1, ceil(H / 4), ceil(W / 4)) and (N, C2, ceil(H / s), ceil(W / s))."""
        features = self.entry1(self.stem(images))
        shallow = self.entry2.before_stride(features)
        features = self.entry3(self.entry2(features))
        features = self.exit2(self.exit1(self.middle(features)))
        return shallow, nn.functional.relu(features)


class Module(nn.Module):
    """Three separable convolutions and a shortcut; the stride is in the last of them.

    The shortcut is the identity where neither size nor channels change, else a 1x1 convolution.
    """

    def __init__(
        self, channels: Sequence[int], stride: int, dilation: int, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.separable = separable_row(channels, stride, dilation, normalisation)
        first, last = channels[0], channels[-1]
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or first != last:
            self.shortcut = nn.Sequential(
                conv2d(normalisation, first, last, 1, stride=stride),
                norm_layer(normalisation, last),
            )

    def forward(self, features: Tensor) -> Tensor:
        return self.separable(features) + self.shortcut(features)

    def before_stride(self, features: Tensor) -> Tensor:
        """Features behind all separable convolutions but the strided last one."""
        return nn.functional.relu(self.separable[:-1](features))


def separable_row(
    channels: Sequence[int], stride: int, dilation: int, normalisation: Normalisation
) -> nn.Sequential:
    """Separable convolutions in a row, each behind a ReLU; the last one has the stride."""
    pairs = list(pairwise(channels))
    strides = [1] * (len(pairs) - 1) + [stride]
    return nn.Sequential(
        *(
            nn.Sequential(nn.ReLU(), separable(a, b, each, dilation, normalisation))
            for (a, b), each in zip(pairs, strides, strict=True)
        )
    )


def separable(
    in_channels: int,
    out_channels: int,
    stride: int,
    dilation: int,
    normalisation: Normalisation,
) -> nn.Sequential:
    """3x3 depthwise and 1x1 convolution; a norm layer behind each, a ReLU behind the first."""
    return nn.Sequential(
        conv2d(
            normalisation,
            in_channels,
            in_channels,
            3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            groups=in_channels,
        ),
        norm_layer(normalisation, in_channels),
        nn.ReLU(inplace=True),
        conv2d(normalisation, in_channels, out_channels, 1),
        norm_layer(normalisation, out_channels),
    )
