"""The deep contour-aware network (Chen et al. 2016) as Nelson 2022 describes it, for any size."""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.segmenters.blocks import Normalisation
from nas.segmenters.dan_sn import TAPS, make_stages, run_stages, tap, upsample
from search_spaces.initialisation import he_initialise

DCAN_STAGES = ((1,), (1, 2), (2, 4), (4, 8), (8, 8), (8, 16))
"""Channels of the convolutions in units of the first one's: an input block of one, then blocks of
two, whose second doubles the channels except in the second-to-last block."""


class DCAN(nn.Module):
    """DCAN (Nelson 2022, section 3.2): float (N, C, H, W) to logits (N, K, H, W).

    3x3 convolutions with norm layer and ReLU in an input block and five blocks, each block behind
    a 2x2 pooling; the outputs of the last three blocks are upsampled to the image's size, with norm
    layer, ReLU and a convolution that classifies, and these scores are summed. The upsampling is
    bilinear; Chen et al. 2016 learn it at a fixed size, and train with auxiliary losses on each of
    the three scores.

    With contours, a second set of taps scores each pixel as contour or not (Chen et al. 2016,
    section 2.2). Its verdict enters the logits by the published rule "object, and not contour",
    written with probabilities: p(k) = p_object(k) (1 - p_contour) for every class k but the
    background, which takes the rest.

    Args:
        in_channels: channels of the image.
        classes: number K of classes, background (class 0) included.
        width: channels of the first convolution; all others scale with it.
        normalisation: "batch" as published.
        contours: whether there is a contour branch; `heads` gives both branches' logits, for
            losses on both.

    Raises:
        ValueError: width is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: int = 64,
        normalisation: Normalisation = "batch",
        contours: bool = False,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.stages = make_stages(in_channels, width, DCAN_STAGES, normalisation)
        channels = [stage[-1] * width for stage in DCAN_STAGES[: -TAPS - 1 : -1]]
        self.objects = nn.ModuleList(scoring(each, classes, normalisation) for each in channels)
        branch = [scoring(each, 2, normalisation) for each in channels] if contours else []
        self.contours = nn.ModuleList(branch)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        objects, contours = self.heads(images)
        return objects if contours is None else fuse(objects, contours)

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of the objects' classes (N, K, H, W), and of contour, (N, 2, H, W) if there is."""
        last_first = run_stages(self.stages, images)[::-1][:TAPS]
        upsampled = [upsample(features, images) for features in last_first]
        objects = _sum(self.objects, upsampled)
        return objects, _sum(self.contours, upsampled) if self.contours else None


def scoring(channels: int, classes: int, normalisation: Normalisation) -> nn.Sequential:
    """Norm layer and ReLU of upsampled features, and a 1x1 convolution that scores classes."""
    return nn.Sequential(*tap(channels, normalisation), nn.Conv2d(channels, classes, 1))


def fuse(objects: Tensor, contours: Tensor) -> Tensor:
    """Log-probabilities (N, K, H, W) of "object, and not contour".

    Args:
        objects: logits (N, K, H, W), class 0 the background.
        contours: logits (N, 2, H, W) of no contour and of contour.
    """
    log_objects = functional.log_softmax(objects, dim=1)
    outside, contour = functional.log_softmax(contours, dim=1).split(1, dim=1)
    background, classes = log_objects[:, :1], log_objects[:, 1:]
    rest = torch.logaddexp(background + outside, contour)
    return torch.cat([rest, classes + outside], dim=1)


def _sum(branch: nn.ModuleList, features: list[Tensor]) -> Tensor:
    return reduce(add, (score(each) for score, each in zip(branch, features, strict=True)))
