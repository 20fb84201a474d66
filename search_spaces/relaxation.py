"""The continuous relaxation of the choice of operations (Liu et al. 2019, Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_spaces.cell_genotype import INPUTS, CellKind, Relaxation, complete_edges


class ArchitectureParameters(nn.Module):
    """Alpha of the normal and of the reduction cell, each (edges, operations), as parameters.

    Args:
        nodes: intermediate nodes of a cell, >= 1.
        operations: number of candidate operations.
        generator: draws the initial values, 1e-3 times standard normal; by default torch's own.
        weigh_edges: edges have parameters beta too, (edges,) each (Xu et al. 2020, Eq. 2).
    """

    normal_edges: nn.Parameter | None
    reduction_edges: nn.Parameter | None

    def __init__(
        self,
        nodes: int,
        operations: int,
        generator: torch.Generator | None = None,
        *,
        weigh_edges: bool = False,
    ) -> None:
        super().__init__()
        edges = len(complete_edges(nodes))
        self.nodes = nodes
        self.normal = _drawn((edges, operations), generator)
        self.reduction = _drawn((edges, operations), generator)
        self.normal_edges = _drawn((edges,), generator) if weigh_edges else None
        self.reduction_edges = _drawn((edges,), generator) if weigh_edges else None

    def logits(self) -> dict[CellKind, Tensor]:
        """Alpha itself, (edges, operations) for each kind of cell."""
        return {"normal": self.normal, "reduction": self.reduction}

    def probabilities(self) -> dict[CellKind, Tensor]:
        """Softmax over the operations of each edge, (edges, operations) for each kind of cell."""
        return {kind: alpha.softmax(dim=1) for kind, alpha in self.logits().items()}

    def edge_weights(self) -> dict[CellKind, Tensor] | None:
        """Softmax over the edges into each node, (edges,); None where edges have no parameters."""
        if self.normal_edges is None or self.reduction_edges is None:
            return None
        return {
            "normal": self._over_incoming(self.normal_edges),
            "reduction": self._over_incoming(self.reduction_edges),
        }

    def shares(self) -> dict[CellKind, Tensor]:
        """The probabilities of each edge, times its weight where edges have weights."""
        probabilities, weights = self.probabilities(), self.edge_weights()
        if weights is None:
            return probabilities
        return {kind: rows * weights[kind].unsqueeze(1) for kind, rows in probabilities.items()}

    def to_relaxation(self, operations: Sequence[str]) -> Relaxation:
        """The values as plain numbers; ``operations`` names the columns.

        Nine significant digits are kept, which restore every float32 exactly.
        """
        return Relaxation(
            tuple(operations),
            _rows(self.normal),
            _rows(self.reduction),
            None if self.normal_edges is None else _numbers(self.normal_edges.tolist()),
            None if self.reduction_edges is None else _numbers(self.reduction_edges.tolist()),
        )

    def _over_incoming(self, beta: Tensor) -> Tensor:
        incoming = beta.split([INPUTS + node for node in range(self.nodes)])
        return torch.cat([of_node.softmax(dim=0) for of_node in incoming])


def _drawn(shape: tuple[int, ...], generator: torch.Generator | None) -> nn.Parameter:
    return nn.Parameter(1e-3 * torch.randn(shape, generator=generator))


def _rows(alpha: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(_numbers(row) for row in alpha.tolist())


def _numbers(row: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.9g}") for value in row)
