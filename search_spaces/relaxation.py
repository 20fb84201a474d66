"""The continuous relaxation of the choice of operations (Liu et al. 2019, Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search_spaces.cell_genotype import CellKind, Relaxation, complete_edges


class ArchitectureParameters(nn.Module):
    """Alpha of the normal and of the reduction cell, each (edges, operations), as parameters.

    Args:
        nodes: intermediate nodes of a cell, >= 1.
        operations: number of candidate operations.
        generator: draws the initial values, 1e-3 times standard normal; by default torch's own.
    """

    def __init__(
        self, nodes: int, operations: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        shape = (len(complete_edges(nodes)), operations)
        self.normal = nn.Parameter(1e-3 * torch.randn(shape, generator=generator))
        self.reduction = nn.Parameter(1e-3 * torch.randn(shape, generator=generator))

    def probabilities(self) -> dict[CellKind, Tensor]:
        """Softmax over the operations of each edge, (edges, operations) for each kind of cell."""
        return {"normal": self.normal.softmax(dim=1), "reduction": self.reduction.softmax(dim=1)}

    def to_relaxation(self, operations: Sequence[str]) -> Relaxation:
        """The values as plain numbers; ``operations`` names the columns.

        Nine significant digits are kept, which restore every float32 exactly.
        """
        return Relaxation(tuple(operations), _rows(self.normal), _rows(self.reduction))


def _rows(alpha: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.9g}") for value in row) for row in alpha.tolist())
