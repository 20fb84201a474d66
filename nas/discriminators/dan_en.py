"""The evaluation network of DAN (Zhang et al. 2017) for inputs of any size."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.blocks import draw_weights
from search_spaces.description import Normalisation
from search_spaces.fcn_blocks import chain, linear_unit, pool, unit
from search_spaces.normalisation import linear
from search_spaces.parametric_genotypes import CHANNELS_PER_GROUP

STAGES = ((1, 1), (2,), (4, 4), (8, 8), (8, 8))
"""Channels of the convolutions in units of the first one's; a pooling stands between stages."""

FEATURES = (4, 2, 1)
"""Outputs of the linear layers before the last, in the same units."""


class DANEvaluationNetwork(nn.Module):
    """DAN's evaluation network as Nelson 2022 builds it: float (N, C, H, W) to (N, outputs).

    Nine 3x3 convolutions with batch norm and ReLU in five stages; between them 2x2 max poolings
    of stride 2 with padding 1, which make n pixels floor(n / 2) + 1; average pooling to a fixed
    size; linear layers to 256, 128 and 64 features, each with batch norm and ReLU, and one to the
    logits. The input is the map, in DAN beside the image.

    The published network has no average pooling and knows inputs of 224x332 pixels only. There
    ``pooled=15,22`` changes nothing: with 4 input channels it is the published network, of
    52,556,929 parameters, 43 million of which are in the first linear layer. No sigmoid at the end:
    verdicts are logits.

    Args:
        in_channels: channels of the input.
        outputs: logits for each image.
        width: channels of the first convolution; all others and the features scale with it.
        pooled: height and width of the features that the first linear layer sees.
        normalisation: "batch" as published. Batch norm of the linear layers compares the images
            of a batch: in training torch refuses a batch of one image (ValueError), and of two it
            leaves little more than which of them is larger. Take "group" for small batches; it
            normalises 8 channels at a time. "instance" applies to the convolutions alone.

    Raises:
        ValueError: width or a side of pooled is below 1, or width no multiple of 8 with "group".
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int = 1,
        *,
        width: int = 64,
        pooled: tuple[int, int] = (1, 1),
        normalisation: Normalisation = "batch",
    ) -> None:
        super().__init__()
        if min(width, *pooled) < 1:
            raise ValueError(f"width and pooled must be at least 1, not {width} and {pooled}")
        if normalisation == "group" and width % CHANNELS_PER_GROUP:
            raise ValueError(
                f"width must be a multiple of {CHANNELS_PER_GROUP} with group norm, not {width}"
            )
        stages = [(in_channels,), *(tuple(width * n for n in stage) for stage in STAGES)]
        features = [width * n for n in FEATURES]
        flat = stages[-1][-1] * pooled[0] * pooled[1]
        self.pooled = pooled
        self.stages = nn.ModuleList(
            chain(before[-1], stage, partial(unit, normalisation))
            for before, stage in pairwise(stages)
        )
        self.linear = chain(flat, features, partial(linear_unit, normalisation))
        self.head = linear(normalisation, features[-1], outputs)
        draw_weights(self, normalisation)

    def forward(self, maps: Tensor) -> Tensor:
        first, *others = self.stages
        features = first(maps)
        for stage in others:
            features = stage(pool(features))
        pooled = functional.adaptive_avg_pool2d(features, self.pooled)
        return self.head(self.linear(pooled.flatten(1)))
