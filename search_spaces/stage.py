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

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.depthwise import depthwise
from search_spaces.folded_norm import fold, normalise
from search_spaces.normalisation import stacked_weights
from search_spaces.operations import Style

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
            (targets, ceil(H / stride), ceil(W / stride), N, C).
        """
        size = [-(-length // self.stride) for length in x.shape[:2]]
        rectified = functional.relu(x)
        terms = [
            *self._unweighted(x, probabilities),
            *self._reduced(rectified, probabilities),
            *self._convolved(rectified, probabilities),
        ]
        return torch.stack(terms).sum(0).unflatten(1, size)

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

    def _unweighted(self, x: Tensor, probabilities: Tensor) -> Iterator[Tensor]:
        """Pools, and identities: one small product over sources and operations."""
        maps, columns = [], []
        image = x.flatten(2).permute(2, 0, 1).unsqueeze(0)
        for name in self.operations:
            if name == "skip_connect" and self.stride == 1:
                result = x.flatten(0, 1)
            elif name in SHARED:
                pool = functional.max_pool2d if name == "max_pool_3x3" else _average
                pooled = pool(image, 3, self.stride, 1)
                result = pooled[0].permute(1, 2, 0).flatten(0, 1).unflatten(1, x.shape[2:])
                holder = self.operations[name]
                result = normalise(holder["1"], result) if len(holder) else result
            else:
                continue
            maps += result.unbind(2)
            columns += [probabilities[:, s, self.columns[name]] for s in range(len(self.sources))]
        if maps:
            stacked = torch.stack(maps)
            yield (torch.stack(columns, dim=1) @ stacked.flatten(1)).unflatten(1, stacked.shape[1:])

    def _reduced(self, rectified: Tensor, probabilities: Tensor) -> Iterator[Tensor]:
        """Factorised reductions: each half of the channels from pixels of its own."""
        if self.stride == 1 or "skip_connect" not in self.operations:
            return
        holder = self.operations["skip_connect"]
        even = rectified[::2, ::2]
        odd = rectified[1::2, 1::2]
        missing = (even.shape[1] - odd.shape[1], even.shape[0] - odd.shape[0])
        odd = functional.pad(odd, (0, 0, 0, 0, 0, 0, 0, missing[0], 0, missing[1]))
        d = torch.cat([even, odd], dim=-1).flatten(0, 1)
        pixels, samples, sources, _ = d.shape
        many = sources * len(self.targets)
        halves = [holder[half].weight.view(many, -1, self.channels) for half in ("even", "odd")]
        weight = torch.cat(
            [
                functional.pad(halves[0], (0, self.channels)),
                functional.pad(halves[1], (self.channels, 0)),
            ],
            dim=1,
        )
        bias = None
        if holder["even"].bias is not None:
            bias = torch.cat([holder[half].bias.view(many, -1) for half in ("even", "odd")], dim=1)
            bias = bias.view(sources, -1)
        weight, bias = fold(holder["norm"], d, weight.view(sources, -1, 2 * self.channels), bias)
        share = probabilities[..., self.columns["skip_connect"]].t().unsqueeze(-1)
        bias = (bias.view(samples, *share.shape[:2], -1) * share).sum(1)
        weight = weight.view(samples, *share.shape[:2], self.channels, -1) * share.unsqueeze(-1)
        weight = weight.permute(0, 1, 4, 2, 3).flatten(3).flatten(1, 2)
        total = torch.baddbmm(bias.flatten(1).unsqueeze(1), d.flatten(2).transpose(0, 1), weight)
        yield total.unflatten(2, (-1, self.channels)).permute(2, 1, 0, 3)

    def _convolved(self, rectified: Tensor, probabilities: Tensor) -> Iterator[Tensor]:
        """Separable and dilated convolutions: one product each, with the norm layer in it."""
        names = [name for name in self.operations if name in KERNELS]
        if not names:
            return
        samples, many = rectified.shape[2], probabilities.shape[:2]
        total: Tensor | None = None
        biases = []
        inputs: dict[bool, Tensor] = {}
        for name in names:
            every_other = name.startswith("dil") and self.stride == 2
            if every_other not in inputs:
                seen = rectified[::2, ::2] if every_other else rectified
                inputs[every_other] = _repeat(seen, many[0])
            d, weight, bias = self._branch(name, inputs[every_other])
            share = probabilities[..., self.columns[name]].unsqueeze(-1)
            biases.append((bias.unflatten(1, many) * share).sum(2))
            weight = weight.unflatten(1, many) * share.unsqueeze(-1)
            weight = weight.transpose(3, 4).flatten(2, 3).flatten(0, 1)
            blocks = d.unflatten(2, many).flatten(3).flatten(1, 2).transpose(0, 1)
            total = torch.bmm(blocks, weight) if total is None else torch.baddbmm(total, blocks, weight)
        assert total is not None
        bias = torch.stack(biases).sum(0).transpose(0, 1).unsqueeze(1)
        yield total.unflatten(0, (samples, -1)).permute(1, 2, 0, 3) + bias

    def _branch(self, name: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Input (pixels, N, edges, C), weights and biases of an operation's last product."""
        parts = self.operations[name]
        if name.startswith("dil"):
            if self.stride == 2:
                d = _within_channels(x, parts["1"].weight, 1, 1)
            else:
                d = _within_channels(x, parts["1"].weight, 1, 2)
        else:
            d = _within_channels(x, parts["1"].weight, self.stride, 1)
            weight, bias = fold(parts["3"], d.flatten(0, 1), *self._product(parts["2"]))
            blocks = d.flatten(2, 3).flatten(0, 1)
            y = torch.baddbmm(
                bias.flatten(0, 1).unsqueeze(1),
                blocks.transpose(0, 1),
                weight.flatten(0, 1).transpose(1, 2),
            )
            y = functional.relu(y).transpose(0, 1).contiguous().view(d.shape)
            d = _within_channels(y, parts["5"].weight, 1, 1)
        last = "3" if name.startswith("dil") else "7"
        product = parts["2"] if name.startswith("dil") else parts["6"]
        d = d.flatten(0, 1)
        return d, *fold(parts[last], d, *self._product(product))

    def _product(self, convolution: nn.Module) -> tuple[Tensor, Tensor | None]:
        bias = convolution.bias
        weight = convolution.weight.view(-1, self.channels, self.channels)
        return weight, None if bias is None else bias.view(-1, self.channels)


def _place(name: str, s: int, t: int, sources: int, targets: int) -> tuple[int, int]:
    """Where an edge's part of an operation's tensors stands, and of how many parts."""
    if name in SHARED:
        return s, sources
    if name == "skip_connect":
        return s * targets + t, sources * targets
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


def _within_channels(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Depthwise convolution of (H, W, N, edges, C) with weights (edges * C, 1, k, k)."""
    image = x.flatten(2).permute(2, 0, 1).unsqueeze(0)
    y = depthwise(image, weight.repeat(x.shape[2], 1, 1, 1), stride, dilation)
    return y[0].permute(1, 2, 0).unflatten(2, x.shape[2:])
