"""Partial channels: mixed operations on a part of the channels (PC-DARTS, Xu et al. 2020).

An edge passes the first C / k channels of its source through the mixed operation and the others by
it, max-pooled 2x2 where the edge has stride 2. Behind it the channels are shuffled, so that the
next edges see others. A node is the sum of its edges, each times its weight (Eq. 1 and 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.operations import Style
from search_spaces.relaxed_cell import RelaxedCell
from search_spaces.stage import Stage


class PartialCell(RelaxedCell):
    """A relaxed cell whose operations see one of so many parts of the channels.

    Weights of edges and the shuffle are the same for all channels of an edge, or for all edges:
    what passes by is one weighted sum of the sources, and the sum over edges is shuffled once.

    Args:
        parts: k; the operations have channels / parts channels.
        before, last, nodes, operations, channels, stride, style: as of `RelaxedCell`.

    Raises:
        ValueError: the channels cannot be divided so, or less than 2 would be left.
    """

    def __init__(
        self,
        parts: int,
        before: nn.Module,
        last: nn.Module,
        nodes: int,
        operations: Sequence[str],
        channels: int,
        stride: int,
        style: Style,
    ) -> None:
        if channels % parts or channels < 2 * parts:
            raise ValueError(
                f"{channels} channels cannot be divided into {parts} parts of 2 or more"
            )
        super().__init__(before, last, nodes, operations, channels // parts, stride, style)
        self.parts = parts
        self.out_channels = nodes * channels

    def given(self, stage: Stage, x: Tensor, shares: Tensor) -> Tensor:
        """What the targets get, see `RelaxedCell.given`.

        ``shares`` are the probabilities of each edge times its weight: their sum is the weight of
        what passes by.
        """
        seen = x.shape[-1] // self.parts
        mixed = stage(x[..., :seen], shares)
        bypassed = passed_by(x[..., seen:], shares.sum(dim=-1), stage.stride)
        return shuffled(torch.cat([mixed, bypassed], dim=-1), self.parts)


def passed_by(x: Tensor, weights: Tensor, stride: int) -> Tensor:
    """What targets get from the channels that no operation sees.

    Args:
        x: (N, H, W, sources, C).
        weights: (targets, sources), of the edges.
        stride: 1, or 2 to take the largest of 2x2 pixels (fewer at the end of an odd length).

    Returns:
        (N, ceil(H / stride), ceil(W / stride), targets, C).
    """
    if stride > 1:
        image = x.flatten(3).permute(0, 3, 1, 2)
        image = functional.max_pool2d(image, stride, stride, ceil_mode=True)
        x = image.permute(0, 2, 3, 1).unflatten(3, x.shape[3:])
    sources = torch.stack(x.unbind(3))
    total = weights.to(x.dtype) @ sources.flatten(1)
    return total.unflatten(1, sources.shape[1:]).permute(1, 2, 3, 0, 4)


def shuffled(x: Tensor, groups: int) -> Tensor:
    """The channels (..., C) with the first of each group in front, then the second of each."""
    return x.unflatten(-1, (groups, -1)).transpose(-1, -2).flatten(-2)
