"""A relaxed cell of which a pass computes one operation on each edge (GDAS, Dong & Yang 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from search_spaces.cell_genotype import INPUTS, complete_edges
from search_spaces.depthwise import depthwise
from search_spaces.halves import halved
from search_spaces.map_norm import normalised, rectified, weighted
from search_spaces.mixed_pools import POOLS
from search_spaces.normalisation import StackedConvolution
from search_spaces.pixel_products import pointwise
from search_spaces.relaxed_cell import RelaxedCell
from search_spaces.stage import Stage

Value = TypeVar("Value")


class SampledCell(RelaxedCell):
    """The weights of a `RelaxedCell`, of which each pass uses those on a path.

    Running statistics of batch norm move on the path alone.
    """

    def forward(
        self, before: Tensor, last: Tensor, probabilities: Tensor, path: Tensor | None = None
    ) -> Tensor:
        """(N, nodes * channels, H, W).

        Args:
            before, last: the outputs of the two cells before.
            probabilities: (edges, operations); what counts is that of the operation on the path.
            path: (edges,), a column for each edge, best in the memory of the CPU; by default those
                of the largest probabilities.
        """
        path = probabilities.argmax(dim=1) if path is None else path
        shares = probabilities.gather(1, path.to(probabilities.device).unsqueeze(1)).unbind()
        passes = [StagePass(stage) for stage in self.stages]
        inputs = self.before(before), self.last(last)
        nodes = [image.permute(0, 2, 3, 1) for image in inputs]
        edges = complete_edges(len(self.stages))
        for target in range(INPUTS, INPUTS + len(self.stages)):
            terms = [
                passes[max(source - 1, 0)].term((source, target), nodes[source], column, share)
                for (source, end), column, share in zip(edges, path.tolist(), shares, strict=True)
                if end == target
            ]
            nodes.append(reduce(add, terms))
        return torch.cat(nodes[INPUTS:], dim=3).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class StagePass:
    """One pass through the edges of a stage, each by itself.

    What several edges need is computed once, when the first of them asks for it.
    """

    stage: Stage
    _known: dict[tuple[object, ...], object] = field(default_factory=dict)

    def term(self, edge: tuple[int, int], x: Tensor, column: int, share: Tensor) -> Tensor:
        """What the target gets by the operation of a column.

        Args:
            edge: source and target.
            x: the source's map, (N, H, W, C).
            column: of the operation.
            share: (1,), by which the result is multiplied.

        Returns:
            (N, ceil(H / stride), ceil(W / stride), C); zeros of `none`.
        """
        stage, stride = self.stage, self.stage.stride
        names = {place: name for name, place in stage.columns.items()}
        source = stage.sources.index(edge[0])
        place = stage.targets.index(edge[1]) * len(stage.sources) + source
        if column not in names:
            return torch.zeros_like(x[:, ::stride, ::stride])
        name = names[column]
        if name in POOLS:
            return share * self._once((name, source), lambda: self._pooled(name, source, x))
        if name == "skip_connect" and stride == 1:
            return share * x
        relu = self._once(("relu", source), lambda: functional.relu(x))
        before, last = self._convolved(name, place, relu)
        y = before.flatten(1, 2).unsqueeze(2).unsqueeze(2)
        total = weighted([self._norm(name, last, place)], [y], share.view(1, 1, 1))
        return total.view(before.shape)

    def _convolved(self, name: str, place: int, relu: Tensor) -> tuple[Tensor, str]:
        """The map before the last norm layer, and the name of that."""
        stride = self.stage.stride
        if name == "skip_connect":
            return self._reduced(place, relu), "norm"
        if name.startswith("dil"):
            seen = relu[:, ::stride, ::stride]
            return self._unit(name, place, seen, 1, dilation=2 // stride), "3"
        first = self._unit(name, place, relu, 1, stride)
        maps = [first.flatten(1, 2).unsqueeze(2)]
        between = rectified([self._norm(name, "3", place)], maps)[0]
        return self._unit(name, place, between.view(first.shape), 5), "7"

    def _pooled(self, name: str, source: int, x: Tensor) -> Tensor:
        pooled = POOLS[name](x.permute(0, 3, 1, 2), self.stage.stride).permute(0, 2, 3, 1)
        maps = [pooled.flatten(1, 2).unsqueeze(2)]
        layer = self._norm(name, "1", source, len(self.stage.sources))
        return normalised([layer], maps)[0].view(pooled.shape)

    def _reduced(self, place: int, relu: Tensor) -> Tensor:
        """Each half of the channels from pixels of its own; beyond the border they are zero."""
        halves = zip(("even", "odd"), halved(relu), strict=True)
        return torch.cat(
            [self._across("skip_connect", part, place, x) for part, x in halves], dim=-1
        )

    def _unit(
        self, name: str, place: int, x: Tensor, first: int, stride: int = 1, dilation: int = 1
    ) -> Tensor:
        """Convolution within channels, then across them, of (N, H, W, C)."""
        weight, _ = self._weights(name, f"{first}", place)
        image = depthwise(x.permute(0, 3, 1, 2), weight, stride, dilation)
        return self._across(name, f"{first + 1}", place, image.permute(0, 2, 3, 1))

    def _across(self, name: str, part: str, place: int, x: Tensor) -> Tensor:
        return pointwise(x, *self._weights(name, part, place))

    def _weights(self, name: str, part: str, place: int) -> tuple[Tensor, Tensor | None]:
        """The weights of one edge; a spectral norm takes one step for all edges."""
        convolution = cast(StackedConvolution, self._part(name, part))
        weight = self._once((name, part), lambda: convolution.weight.chunk(convolution.copies))
        bias = convolution.bias
        return weight[place], None if bias is None else bias.chunk(convolution.copies)[place]

    def _norm(self, name: str, part: str, place: int, copies: int | None = None) -> nn.Module:
        many = len(self.stage.targets) * len(self.stage.sources) if copies is None else copies
        return norm_of_one(self._part(name, part), place, many)

    def _part(self, name: str, part: str) -> nn.Module:
        return cast(nn.ModuleDict, self.stage.operations[name])[part]

    def _once(self, key: tuple[object, ...], compute: Callable[[], Value]) -> Value:
        if key not in self._known:
            self._known[key] = compute()
        return cast(Value, self._known[key])


def norm_of_one(layer: nn.Module, place: int, copies: int) -> nn.Module:
    """The norm layer of one of several maps that stand beside each other.

    Running statistics are views of the layer's own.
    """
    match layer:
        case nn.GroupNorm():
            groups, channels = layer.num_groups // copies, layer.num_channels // copies
            return nn.GroupNorm(groups, channels, layer.eps, affine=False)
        case nn.InstanceNorm2d():
            return nn.InstanceNorm2d(layer.num_features // copies, layer.eps)
        case _BatchNorm():
            features = layer.num_features // copies
            one = type(layer)(features, layer.eps, layer.momentum, affine=False)
            for name in ("running_mean", "running_var"):
                setattr(one, name, getattr(layer, name).chunk(copies)[place])
            one.track_running_stats = layer.track_running_stats
            return one.train(layer.training)
    return layer
