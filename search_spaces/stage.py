"""A stage of a relaxed cell: all edges that leave nodes which are known at the same time.

Edge by edge, a relaxed cell is hundreds of small operations, and most of them read the same map.
A stage takes its sources together: what does not depend on the edge (ReLU, pooling, its norm) is
computed once per source, convolutions of all edges are one convolution, and what an edge gives to
its target is never made by itself: the probabilities and the norm layers are folded into the
weights of one product whose result is the sum over sources and operations.

Maps are (N, H, W, sources, C): edges stand beside the channels, which are last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.depthwise import depthwise
from search_spaces.map_norm import normalised, rectified, weighted
from search_spaces.normalisation import stacked_weights
from search_spaces.operations import Style
from search_spaces.pixel_products import product

SHARED = ("max_pool_3x3", "avg_pool_3x3")
"""Operations without weights, the same on all edges from a source."""

KERNELS = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "dil_conv_3x3": 3, "dil_conv_5x5": 5}
"""Operations that end in a product across channels."""


class Stage(nn.Module):
    """The mixed operations on all edges from some sources to some targets.

    The weights of an operation on all edges are one tensor. By the names of its parts it is what
    `search_spaces.operations` builds for one edge, stacked along the first axis.

    Args:
        sources, targets: the numbers of the nodes.
        operations: candidate operations, in the order of the columns of alpha.
        channels: C of sources and targets.
        stride: of all edges.
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
        self.operations = nn.ModuleDict(
            {name: self._holder(name, style) for name in operations if name != "none"}
        )

    def forward(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """What the targets get from the sources.

        Args:
            x: (N, H, W, sources, C).
            probabilities: (targets, sources, operations).

        Returns:
            (N, ceil(H / stride), ceil(W / stride), targets, C).
        """
        height, width = (-(-length // self.stride) for length in x.shape[1:3])
        relu = functional.relu(x)
        shares = probabilities.unbind(-1)
        terms = list(self._unweighted(x, shares))
        parts = [*self._reduced(relu), *self._convolved(relu)]
        if parts:
            names, maps, layers = zip(*parts, strict=True)
            given = torch.stack([shares[self.columns[name]] for name in names])
            terms.append(weighted(layers, maps, given))
        return reduce(add, terms).unflatten(1, (height, width))

    def of_edges(self) -> Iterator[tuple[int, int, str, Tensor]]:
        """Source, target, name and value of all parameters and buffers, edge by edge."""
        many = len(self.sources), len(self.targets)
        for name, operation in self.operations.items():
            for part, value in operation.state_dict().items():
                for s, source in enumerate(self.sources):
                    for t, target in enumerate(self.targets):
                        place, parts = _place(name, s, t, *many)
                        own = value.chunk(parts)[place] if value.ndim else value
                        yield source, target, f"{name}.{part}", own

    def _holder(self, name: str, style: Style) -> nn.Module:
        many, kind, channels = len(self.sources), style.normalisation, self.channels
        if name in SHARED:
            return nn.ModuleDict({"1": _norm(style, channels, many)} if style.pool_norm else {})
        many *= len(self.targets)
        if name == "skip_connect":
            if self.stride == 1:
                return nn.Identity()
            half = channels // 2
            return nn.ModuleDict(
                {
                    "even": stacked_weights(kind, many, channels, channels - half, 1),
                    "odd": stacked_weights(kind, many, channels, half, 1),
                    "norm": _norm(style, channels, many),
                }
            )
        kernel = KERNELS[name]
        steps = (1, 5) if name.startswith("sep") else (1,)
        parts: dict[str, nn.Module] = {}
        for step in steps:
            parts[f"{step}"] = stacked_weights(kind, many, 1, channels, kernel, bias=False)
            parts[f"{step + 1}"] = stacked_weights(kind, many, channels, channels, 1)
            parts[f"{step + 2}"] = _norm(style, channels, many)
        return nn.ModuleDict(parts)

    def _unweighted(self, x: Tensor, shares: Sequence[Tensor]) -> Iterator[Tensor]:
        """Pools, and identities: one small product over sources and operations."""
        image = _image(x)
        pools = {name: _POOLS[name](image, self.stride) for name in SHARED if name in self.columns}
        maps = {name: _maps(y, x.shape[3:]).flatten(1, 2) for name, y in pools.items()}
        layers = [self.operations[name]["1"] for name in maps]
        if maps:
            maps = dict(zip(maps, normalised(layers, list(maps.values())), strict=True))
        if self.stride == 1 and "skip_connect" in self.columns:
            maps["skip_connect"] = x.flatten(1, 2)
        if maps:
            each = torch.stack([source for y in maps.values() for source in y.unbind(2)])
            share = torch.cat([shares[self.columns[name]] for name in maps], dim=1)
            total = share @ each.flatten(1)
            yield total.unflatten(1, each.shape[1:]).permute(1, 2, 0, 3)

    def _reduced(self, relu: Tensor) -> Iterator[tuple[str, Tensor, nn.Module]]:
        """Factorised reductions: each half of the channels from pixels of its own."""
        if self.stride == 1 or "skip_connect" not in self.operations:
            return
        holder = self.operations["skip_connect"]
        halves = []
        for half, shifted in (("even", relu[:, ::2, ::2]), ("odd", _odd(relu))):
            y = product(*self._by_source(shifted, holder[half].weight))
            y = y.unflatten(2, (len(self.targets), -1))
            y = y.transpose(1, 2)
            if holder[half].bias is not None:
                y = y + holder[half].bias.view(y.shape[1:])
            halves.append(y)
        y = torch.cat(halves, dim=3).unflatten(0, (relu.shape[0], -1))
        yield "skip_connect", y, holder["norm"]

    def _by_source(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        weight = weight.view(len(self.targets), len(self.sources), -1, self.channels)
        return x.flatten(0, 2), weight.transpose(0, 1).flatten(1, 2)

    def _convolved(self, relu: Tensor) -> Iterator[tuple[str, Tensor, nn.Module]]:
        """Separable and dilated convolutions of all edges, before their last norm layer."""
        many = len(self.targets), len(self.sources)
        whole = _repeat(relu, many[0])
        maps = {}
        separable = [name for name in self.operations if name.startswith("sep")]
        if separable:
            first = [self._unit(whole, name, 1, self.stride) for name in separable]
            layers = [self.operations[name]["3"] for name in separable]
            for name, y in zip(separable, rectified(layers, [y.flatten(1, 2) for y in first])):
                maps[name] = self._unit(y.view(first[0].shape), name, 5)
        dilated = [name for name in self.operations if name.startswith("dil")]
        if dilated:
            seen = whole if self.stride == 1 else _repeat(relu[:, ::2, ::2], many[0])
            maps |= {name: self._unit(seen, name, 1, 1, 2 // self.stride) for name in dilated}
        for name, y in maps.items():
            last = self.operations[name]["3" if name in dilated else "7"]
            yield name, y.flatten(1, 2).unflatten(2, many), last

    def _unit(self, x: Tensor, name: str, first: int, stride: int = 1, dilation: int = 1) -> Tensor:
        """Convolution within channels, then across them, of (N, H, W, edges, C)."""
        within, across = (self.operations[name][str(part)] for part in (first, first + 1))
        d = _maps(depthwise(_image(x), within.weight, stride, dilation), x.shape[3:])
        weight = across.weight.view(-1, self.channels, self.channels)
        y = product(d.flatten(0, 2), weight).view(d.shape)
        return y if across.bias is None else y + across.bias.view(-1, self.channels)


def _place(name: str, s: int, t: int, sources: int, targets: int) -> tuple[int, int]:
    """Where an edge's part of an operation's tensors stands, and of how many parts."""
    if name in SHARED:
        return s, sources
    return t * sources + s, sources * targets


def _norm(style: Style, channels: int, many: int) -> nn.Module:
    """Norm layer of many maps beside each other, each with its own groups."""
    layer = style.norm(channels)
    if isinstance(layer, nn.GroupNorm):
        return nn.GroupNorm(many * layer.num_groups, many * channels, affine=False)
    return style.norm(many * channels)


def _max(image: Tensor, stride: int) -> Tensor:
    return functional.max_pool2d(image, 3, stride, 1)


def _average(image: Tensor, stride: int) -> Tensor:
    return functional.avg_pool2d(image, 3, stride, 1, count_include_pad=False)


_POOLS = {"max_pool_3x3": _max, "avg_pool_3x3": _average}


def _repeat(x: Tensor, targets: int) -> Tensor:
    """(N, H, W, sources, C) to (N, H, W, targets * sources, C)."""
    return x.unsqueeze(3).expand(-1, -1, -1, targets, -1, -1).flatten(3, 4)


def _odd(x: Tensor) -> Tensor:
    """Every second pixel from (1, 1) on, as many as from (0, 0) on: zeros beyond the border."""
    odd = x[:, 1::2, 1::2]
    below, right = (n % 2 for n in x.shape[1:3])
    return functional.pad(odd, (0, 0, 0, 0, 0, right, 0, below))


def _image(x: Tensor) -> Tensor:
    """(N, H, W, ...) as images with channels last, (N, all the rest, H, W)."""
    return x.flatten(3).permute(0, 3, 1, 2)


def _maps(image: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_image`: (N, H, W, *shape)."""
    return image.permute(0, 2, 3, 1).unflatten(3, shape)
