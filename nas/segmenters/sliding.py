"""A network of patches as a segmenter: every pixel gets the class of the patch around it."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nas.data.patches import reach
from nas.discriminators.dc_net import DCNet
from search_spaces.description import Normalisation

PLACES_AT_ONCE = 128
"""Patches of an image that are in memory together."""


class PatchNetwork(Protocol):
    """Classes of patches, and "fake"."""

    def class_logits(self, maps: Tensor) -> Tensor:
        """(N, C, 64, 64) to logits (N, K + 1, 1, 1), the last that of "fake"."""


class SlidingClassifier(nn.Module):
    """Segmenter that classifies the patch around each pixel: (N, C, H, W) to logits (N, K, H, W).

    Patches are centred at every ``stride``-th row and column, the first included, and at one more
    behind the last of these where the image goes on behind it; the image is mirrored at its border
    for them. Between the centres, the logits are interpolated bilinearly; at the centres they are
    those of the patch. The logit of "fake" has no part in it: the class of a pixel is the most
    probable of the K, as published (Ayush; Lahiri et al. 2017).

    `PLACES_AT_ONCE` patches of each image are in memory at a time, whatever its size. The network
    is trained on patches (`patch_logits`), not through this pass.

    Args:
        network: of the patches, see `PatchNetwork`.
        stride: distance of the patches in pixels; 1 as published.

    Raises:
        ValueError: the stride is below 1.
    """

    def __init__(self, network: nn.Module, *, stride: int = 1) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"stride must be at least 1, not {stride}")
        self.network = network
        self.stride = stride

    def patch_logits(self, patches: Tensor) -> Tensor:
        """(N, C, 64, 64) to logits (N, K + 1), the last that of "fake"."""
        return cast(PatchNetwork, self.network).class_logits(patches).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        rows, columns = (_centres(size, self.stride, images.device) for size in (height, width))
        places = torch.cartesian_prod(rows, columns).split(PLACES_AT_ONCE)
        logits = torch.cat([self._logits_at(part, images) for part in places], dim=1)
        found = logits.unflatten(1, (len(rows), len(columns))).movedim(-1, 1)
        if self.stride == 1:
            return found
        size = [self.stride * (len(places) - 1) + 1 for places in (rows, columns)]
        whole = interpolate(found, size=size, mode="bilinear", align_corners=True)
        return whole[:, :, :height, :width]

    def _logits_at(self, places: Tensor, images: Tensor) -> Tensor:
        """Logits (N, M, K) of the patches around places (M, 2) of images (N, C, H, W)."""
        down, across = (reach(places[:, axis], images.shape[2 + axis]) for axis in range(2))
        patches = images[:, :, down[:, :, None], across[:, None, :]].movedim(2, 1)
        logits = self.patch_logits(patches.flatten(0, 1))
        return logits[:, :-1].unflatten(0, (-1, len(places)))


def _centres(size: int, stride: int, device: torch.device) -> Tensor:
    count = -(-(size - 1) // stride) + 1
    return stride * torch.arange(count, device=device)


def sliding_dc_net(
    in_channels: int,
    classes: int,
    *,
    width: int = 64,
    normalisation: Normalisation = "instance",
    stride: int = 1,
) -> SlidingClassifier:
    """The DC-net on the patch around each pixel.

    Args:
        in_channels: channels of the images.
        classes: K, background included.
        width: channels of the first convolution.
        normalisation: see `DCNet`.
        stride: distance of the patches in pixels.

    Raises:
        ValueError: a number is below 1.
    """
    network = DCNet(in_channels, classes=classes, width=width, normalisation=normalisation)
    return SlidingClassifier(network, stride=stride)
