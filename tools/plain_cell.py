"""The relaxed cell as DARTS wrote it: one mixed operation on each edge, one after the other.

Maps are contiguous and `none` is computed, as zero times the map. What the stages of
`search_spaces.relaxed_cell` compute is tested, and timed, against this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from search_spaces.cell import KINDS, CellStack, CellSupernet, Place, bring
from search_spaces.cell_genotype import INPUTS, complete_edges
from search_spaces.operations import Style, build_operation
from search_spaces.relaxation import ArchitectureParameters


class MixedOperation(nn.ModuleDict):
    """All candidate operations of one edge, weighted by their probabilities."""

    def __init__(self, operations: Sequence[str], channels: int, stride: int, style: Style) -> None:
        super().__init__(
            {
                name: build_operation(name, channels, stride, style)
                for name in operations
                if name != "none"
            }
        )
        self.operations, self.stride = tuple(operations), stride

    def forward(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """sum_o probabilities[o] * o(x); probabilities is (operations,)."""
        pairs = zip(self.operations, probabilities, strict=True)
        return reduce(add, (probability * self._apply_one(name, x) for name, probability in pairs))

    def _apply_one(self, name: str, x: Tensor) -> Tensor:
        if name == "none":
            return x[:, :, :: self.stride, :: self.stride].mul(0.0)
        result: Tensor = self[name](x)
        return result


class PlainCell(nn.Module):
    """A relaxed cell, edge by edge."""

    def __init__(self, place: Place, nodes: int, operations: Sequence[str], style: Style) -> None:
        super().__init__()
        self.before, self.last = bring(place, style)
        self.edges = nn.ModuleDict(
            {
                f"{source}_{target}": MixedOperation(
                    operations, place.channels, place.stride(source), style
                )
                for source, target in complete_edges(nodes)
            }
        )
        self.wiring = complete_edges(nodes)
        self.out_channels = nodes * place.channels

    def forward(self, before: Tensor, last: Tensor, probabilities: Tensor) -> Tensor:
        """Output of the cell; ``probabilities`` is (edges, operations)."""
        nodes = {0: self.before(before), 1: self.last(last)}
        for (source, target), edge, row in zip(
            self.wiring, self.edges.values(), probabilities, strict=True
        ):
            term = edge(nodes[source], row)
            nodes[target] = nodes[target] + term if target in nodes else term
        return torch.cat([nodes[node] for node in nodes if node >= INPUTS], dim=1)


class PlainSupernet(CellStack):
    """The same network as a `CellSupernet`, edge by edge, with a copy of its weights."""

    def __init__(self, supernet: CellSupernet) -> None:
        network, nodes = supernet.network, supernet.relaxation().nodes
        style = Style(network.normalisation, affine=False, pool_norm=True)

        def make_cell(place: Place) -> PlainCell:
            return PlainCell(place, nodes, supernet.operations, style)

        assert network.in_channels is not None
        super().__init__(network, network.in_channels, network.outputs, style, make_cell)
        self.alpha = ArchitectureParameters(nodes, len(supernet.operations))
        self.to(supernet.alpha.normal)
        self.load_state_dict(by_edge(supernet))
        self.train(supernet.training)
        self.recompute = supernet.recompute

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images (N, in_channels, H, W)."""
        probabilities = self.alpha.probabilities()
        before = last = self.head(images)
        for letter, cell in zip(self.network.layout, self.cells, strict=True):
            before, last = last, self._run(cell, before, last, probabilities[KINDS[letter]])
        return self.verdicts(last, images.shape[2:])


def by_edge(supernet: CellSupernet) -> Mapping[str, Tensor]:
    """Parameters and buffers of a supernet by the names of the plain one."""
    alpha = {f"alpha.{name}": value for name, value in supernet.alpha.state_dict().items()}
    return supernet.of_edges() | alpha
