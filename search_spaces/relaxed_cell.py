"""The relaxed cell: every edge of the complete graph is a mixed operation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from search_spaces.cell_genotype import INPUTS, complete_edges
from search_spaces.operations import Style
from search_spaces.stage import Stage


class RelaxedCell(nn.Module):
    """Two inputs, intermediate nodes that are the sums of mixed operations on all earlier nodes.

    Computed stage by stage: first all edges from the two inputs, then those from each node.

    Args:
        before, last: bring the outputs of the cell before the last and of the last cell to
            (N, channels, H, W).
        nodes: intermediate nodes, >= 1.
        operations: candidate operations, in the order of the columns of alpha.
        channels: of each node.
        stride: of the edges from the inputs.
        style: how convolutions are normalised.
    """

    rows: Tensor

    def __init__(
        self,
        before: nn.Module,
        last: nn.Module,
        nodes: int,
        operations: Sequence[str],
        channels: int,
        stride: int,
        style: Style,
    ) -> None:
        super().__init__()
        self.before = before
        self.last = last
        self.out_channels = nodes * channels
        targets = range(INPUTS, INPUTS + nodes)
        stages = [Stage(range(INPUTS), targets, operations, channels, stride, style)]
        for node in targets[:-1]:
            later = range(node + 1, INPUTS + nodes)
            stages.append(Stage([node], later, operations, channels, 1, style))
        self.stages = cast(Sequence[Stage], nn.ModuleList(stages))
        rows = [row for stage in stages for row in _rows(stage, complete_edges(nodes))]
        self.register_buffer("rows", torch.tensor(rows), persistent=False)

    def forward(self, before: Tensor, last: Tensor, probabilities: Tensor) -> Tensor:
        """(N, nodes * channels, H, W); ``probabilities`` is (edges, operations)."""
        inputs = self.before(before), self.last(last)
        x = torch.stack([each.permute(0, 2, 3, 1) for each in inputs], dim=3)
        sizes = [math.prod(stage.shape) for stage in self.stages]
        shares = probabilities.index_select(0, self.rows).split(sizes)
        incomplete: Tensor | None = None
        nodes = []
        for stage, share in zip(self.stages, shares, strict=True):
            given = self.given(stage, x, share.unflatten(0, stage.shape))
            incomplete = given if incomplete is None else incomplete + given
            x, incomplete = incomplete.split([1, incomplete.shape[3] - 1], dim=3)
            nodes.append(x.squeeze(3))
        return torch.cat(nodes, dim=3).permute(0, 3, 1, 2)

    def given(self, stage: Stage, x: Tensor, shares: Tensor) -> Tensor:
        """What the targets of a stage get from its sources.

        Args:
            stage: one of this cell.
            x: (N, H, W, sources, C).
            shares: (targets, sources, operations).

        Returns:
            (N, ceil(H / stride), ceil(W / stride), targets, C).
        """
        given: Tensor = stage(x, shares)
        return given

    def of_edges(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters and buffers by their names in a cell that is built edge by edge."""
        for bring in ("before", "last"):
            for name, value in getattr(self, bring).state_dict().items():
                yield f"{bring}.{name}", value
        for stage in self.stages:
            for source, target, name, value in stage.of_edges():
                yield f"edges.{source}_{target}.{name}", value


def _rows(stage: Stage, edges: Sequence[tuple[int, int]]) -> list[int]:
    return [edges.index((source, target)) for target in stage.targets for source in stage.sources]
