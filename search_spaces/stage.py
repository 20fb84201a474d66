"""A stage of a relaxed cell: all edges that leave nodes which are known at the same time.

Edge by edge, a relaxed cell is hundreds of small operations, and most of them read the same map.
A stage takes its sources together: what does not depend on the edge (ReLU, pooling, its norm) is
computed once per source, convolutions of all edges are one convolution, and what an edge gives to
its target is never made by itself: the probabilities and the norm layers are folded into the
weights of one product whose result is the sum over sources and operations.

Maps are (H, W, N, sources, C), pixels first, so that samples and edges stand beside the channels.
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
            x: (H, W, N, sources, C).
            probabilities: (targets, sources, operations).

        Returns:
            (ceil(H / stride), ceil(W / stride), N, targets, C).
        """
        height, width = (-(-length // self.stride) for length in x.shape[:2])
        relu = functional.relu(x)
        shares = probabilities.unbind(-1)
        terms = list(self._unweighted(x, shares))
        parts = [*self._reduced(relu), *self._convolved(relu)]
        if parts:
            names, maps, layers = zip(*parts, strict=True)
            given = torch.stack([shares[self.columns[name]] for name in names])
            terms.append(weighted(layers, maps, given))
        return reduce(add, terms).unflatten(0, (height, width))

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
        maps, columns = [], []
        image = _image(x)
        for name in self.operations:
            if name == "skip_connect" and self.stride == 1:
                result = x.flatten(0, 1)
            elif name in SHARED:
                pool = functional.max_pool2d if name == "max_pool_3x3" else _average
                pooled = pool(image, 3, self.stride, 1)
                result = _pixels(pooled, x.shape[2:]).flatten(0, 1)
                holder = self.operations[name]
                result = normalised(holder["1"], result) if len(holder) else result
            else:
                continue
            maps += result.unbind(2)
            columns.append(shares[self.columns[name]])
        if maps:
            stacked = torch.stack(maps)
            total = torch.cat(columns, dim=1) @ stacked.flatten(1)
            yield total.unflatten(1, stacked.shape[1:]).permute(1, 2, 0, 3)

    def _reduced(self, relu: Tensor) -> Iterator[tuple[str, Tensor, nn.Module]]:
        """Factorised reductions: each half of the channels from pixels of its own."""
        if self.stride == 1 or "skip_connect" not in self.operations:
            return
        holder = self.operations["skip_connect"]
        halves = []
        for half, shifted in (("even", relu[::2, ::2]), ("odd", _odd(relu))):
            y = product(*self._by_source(shifted, holder[half].weight))
            y = y.unflatten(2, (len(self.targets), -1))
            y = y.transpose(1, 2)
            if holder[half].bias is not None:
                y = y + holder[half].bias.view(y.shape[1:])
            halves.append(y)
        y = torch.cat(halves, dim=3).unflatten(0, (-1, relu.shape[2]))
        yield "skip_connect", y, holder["norm"]

    def _by_source(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        weight = weight.view(len(self.targets), len(self.sources), -1, self.channels)
        return x.flatten(0, 2), weight.transpose(0, 1).flatten(1, 2)

    def _convolved(self, relu: Tensor) -> Iterator[tuple[str, Tensor, nn.Module]]:
        """Separable and dilated convolutions of all edges, before their last norm layer."""
        repeated: dict[int, Tensor] = {}
        many = len(self.targets), len(self.sources)
        for name in self.operations:
            if name not in KERNELS:
                continue
            parts = self.operations[name]
            dilated = name.startswith("dil")
            step = self.stride if dilated else 1
            if step not in repeated:
                repeated[step] = _repeat(relu[::step, ::step], many[0])
            if dilated:
                y = self._unit(repeated[step], parts, 1, 1, 2 // self.stride)
            else:
                y = self._unit(repeated[step], parts, 1, self.stride, 1)
                y = rectified(parts["3"], y.flatten(0, 1)).unflatten(0, y.shape[:2])
                y = self._unit(y, parts, 5, 1, 1)
            y = y.flatten(0, 1).unflatten(2, many)
            yield name, y, parts["3" if dilated else "7"]

    def _unit(
        self, x: Tensor, parts: nn.Module, first: int, stride: int, dilation: int
    ) -> Tensor:
        """Convolution within channels, then across them, of (H, W, N, edges, C)."""
        within, across = parts[str(first)], parts[str(first + 1)]
        y = depthwise(_image(x), within.weight.repeat(x.shape[2], 1, 1, 1), stride, dilation)
        d = _pixels(y, x.shape[2:])
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


def _average(image: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return functional.avg_pool2d(image, kernel, stride, padding, count_include_pad=False)


def _repeat(x: Tensor, targets: int) -> Tensor:
    """(H, W, N, sources, C) to (H, W, N, targets * sources, C)."""
    return x.unsqueeze(3).expand(-1, -1, -1, targets, -1, -1).flatten(3, 4)


def _odd(x: Tensor) -> Tensor:
    """Every second pixel from (1, 1) on, as many as from (0, 0) on: zeros beyond the border."""
    odd = x[1::2, 1::2]
    below, right = ((-(-n // 2)) - n // 2 for n in x.shape[:2])
    return functional.pad(odd, (0, 0, 0, 0, 0, 0, 0, right, 0, below))


def _image(x: Tensor) -> Tensor:
    """(H, W, ...) as one image with channels last, (1, all the rest, H, W)."""
    return x.flatten(2).unsqueeze(0).permute(0, 3, 1, 2)


def _pixels(image: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_image`: (H, W, *shape)."""
    return image.permute(0, 2, 3, 1).squeeze(0).unflatten(2, shape)
