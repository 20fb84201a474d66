"""A stage of a relaxed cell: all edges that leave nodes which are known at the same time.

Edge by edge, a relaxed cell is hundreds of small operations, and most of them read the same map.
A stage takes its edges together: what depends on the source alone (ReLU, pooling, its norm layer)
is computed once per source, convolutions of all edges are one convolution, and the last norm layer,
the probability and the sum into the target are one step. `none` is never computed.

Maps are (N, H, W, sources, C): edges stand beside the channels, which are last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.halves import halved
from search_spaces.map_norm import weighted
from search_spaces.mixed_pools import POOLS, Pooling, mixed_pools
from search_spaces.mixed_separable import Operation, mixed_separable
from search_spaces.normalisation import StackedConvolution
from search_spaces.operations import Style
from search_spaces.pixel_products import product
from search_spaces.separable import Separable


class Stage(nn.Module):
    """The mixed operations on all edges from some sources to some targets.

    The weights of an operation on all edges are one tensor. By the names of its parts it is what
    `search_spaces.operations` builds for one edge, stacked along the first axis: by targets, and
    for each of them by sources.

    Args:
        sources, targets: the numbers of the nodes.
        operations: candidate operations, in the order of the columns of alpha.
        channels: C of sources and targets.
        stride: of all edges, 1 or 2.
        style: how convolutions are normalised; without scale and shift.
    """

    def __init__(
        self,
        sources: Sequence[int],
        targets: Sequence[int],
        operations: Sequence[str],
        channels: int,
        stride: int,
        style: Style,
    ) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.targets = tuple(targets)
        self.channels = channels
        self.stride = stride
        self.columns = {name: column for column, name in enumerate(operations) if name != "none"}
        self.operations = nn.ModuleDict({name: self._holder(name, style) for name in self.columns})

    @property
    def shape(self) -> tuple[int, int]:
        """Number of targets and of sources."""
        return len(self.targets), len(self.sources)

    def forward(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """What the targets get from the sources.

        Args:
            x: (N, H, W, sources, C).
            probabilities: (targets, sources, operations).

        Returns:
            (N, ceil(H / stride), ceil(W / stride), targets, C).
        """
        shares = probabilities.unbind(2)
        terms = self._pooled(x, shares) + self._reduced(x, shares) + self._separable(x, shares)
        height, width = (-(-length // self.stride) for length in x.shape[1:3])
        return reduce(add, terms).unflatten(1, (height, width))

    def of_edges(self) -> Iterator[tuple[int, int, str, Tensor]]:
        """Source, target, name and value of all parameters and buffers, edge by edge."""
        targets, sources = self.shape
        for name, operation in self.operations.items():
            for part, value in operation.state_dict().items():
                for s, source in enumerate(self.sources):
                    for t, target in enumerate(self.targets):
                        pooled = name in POOLS
                        place, parts = (s, sources) if pooled else (t * sources + s, self._edges)
                        own = value.chunk(parts)[place] if value.ndim else value
                        yield source, target, f"{name}.{part}", own

    @property
    def _edges(self) -> int:
        return len(self.targets) * len(self.sources)

    def _holder(self, name: str, style: Style) -> nn.ModuleDict:
        """The parts of an operation that have parameters or buffers."""
        kind, channels = style.normalisation, self.channels
        if name in POOLS:
            return nn.ModuleDict({"1": _norm(style, channels, len(self.sources))})
        if name == "skip_connect":
            if self.stride == 1:
                return nn.ModuleDict()
            half = channels // 2
            return nn.ModuleDict(
                {
                    "even": StackedConvolution(kind, self._edges, channels, channels - half),
                    "odd": StackedConvolution(kind, self._edges, channels, half),
                    "norm": _norm(style, channels, self._edges),
                }
            )
        kernel = int(name[-1])
        parts: dict[str, nn.Module] = {}
        for first in (1, 5) if name.startswith("sep") else (1,):
            within = StackedConvolution(kind, self._edges, 1, channels, kernel, bias=False)
            parts[f"{first}"] = within
            parts[f"{first + 1}"] = StackedConvolution(kind, self._edges, channels, channels)
            parts[f"{first + 2}"] = _norm(style, channels, self._edges)
        return nn.ModuleDict(parts)

    def _part(self, name: str, part: str | int) -> nn.Module:
        return cast(nn.ModuleDict, self.operations[name])[str(part)]

    def _convolution(self, name: str, part: str | int) -> StackedConvolution:
        return cast(StackedConvolution, self._part(name, part))

    def _pooled(self, x: Tensor, shares: Sequence[Tensor]) -> list[Tensor]:
        """Pools, normalised, and identities."""
        pools = [name for name in POOLS if name in self.columns]
        identity = self.stride == 1 and "skip_connect" in self.columns
        names = [*pools, "skip_connect"] if identity else pools
        if not names:
            return []
        layers = [self._part(name, 1) for name in pools]
        given = self._of(names, shares)
        return [mixed_pools(x, Pooling(pools, layers, self.stride, identity), given)]

    def _reduced(self, x: Tensor, shares: Sequence[Tensor]) -> list[Tensor]:
        """Factorised reductions: each half of the channels from pixels of its own."""
        if self.stride == 1 or "skip_connect" not in self.columns:
            return []
        halves = []
        relu = functional.relu(x)
        for half, part in zip(("even", "odd"), halved(relu), strict=True):
            convolution = self._convolution("skip_connect", half)
            weight = convolution.weight.view(*self.shape, -1, self.channels)
            y = product(part.flatten(0, 2), weight.transpose(0, 1).flatten(1, 2))
            y = y.unflatten(2, (len(self.targets), -1)).transpose(1, 2).flatten(1, 2)
            halves.append(convolution.with_bias(y))
        y = torch.cat(halves, dim=2).unflatten(1, self.shape)
        layer, share = self._part("skip_connect", "norm"), self._of(["skip_connect"], shares)
        return [weighted([layer], [y.unflatten(0, (len(x), -1))], share)]

    def _separable(self, x: Tensor, shares: Sequence[Tensor]) -> list[Tensor]:
        """Separable and dilated convolutions, normalised."""
        names = [name for name in self.columns if name.startswith(("sep", "dil"))]
        if not names:
            return []
        operations = [self._operation(name) for name in names]
        return [mixed_separable(x, operations, self._of(names, shares))]

    def _of(self, names: Sequence[str], shares: Sequence[Tensor]) -> Tensor:
        """The shares of some operations, (operations, targets, sources), from those of all."""
        return torch.stack([shares[self.columns[name]] for name in names])

    def _operation(self, name: str) -> Operation:
        """A separable operation on all edges."""
        dilation = 2 if name.startswith("dil") else 1
        starts = {1: self.stride, 5: 1} if name.startswith("sep") else {1: self.stride}
        convolutions = []
        for first, stride in starts.items():
            within, across = (self._convolution(name, part) for part in (first, first + 1))
            weights = within.weight, across.weight, across.bias
            convolutions.append(Separable(*weights, stride, dilation))
        layers = tuple(self._part(name, first + 2) for first in starts)
        return Operation(tuple(convolutions), layers)


def _norm(style: Style, channels: int, many: int) -> nn.Module:
    """Norm layer of many maps beside each other, each with its own groups."""
    layer = style.norm(channels)
    if isinstance(layer, nn.GroupNorm):
        return nn.GroupNorm(many * layer.num_groups, many * channels, affine=False)
    return style.norm(many * channels)
