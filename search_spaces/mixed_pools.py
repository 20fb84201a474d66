"""Pools and identities on the edges of a stage, normalised, weighted and summed.

What these make of a source is the same for all targets. On a CPU the sum is one function, of which
kernels compute values and gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.autocast import raised
from search_spaces.kernel_choice import are_compiled
from search_spaces.map_norm import Statistics, normalised_by, statistics


def _max(image: Tensor, stride: int) -> Tensor:
    return functional.max_pool2d(image, 3, stride, 1)


def _average(image: Tensor, stride: int) -> Tensor:
    return functional.avg_pool2d(image, 3, stride, 1, count_include_pad=False)


MAXIMUM, AVERAGE = "max_pool_3x3", "avg_pool_3x3"

POOLS = {MAXIMUM: _max, AVERAGE: _average}


@dataclass(frozen=True)
class Pooling:
    """What is computed from a source.

    Attributes:
        pools: names of `POOLS`.
        layers: a norm layer for each of them.
        stride: 1 or 2.
        identity: the source itself comes last; only with stride 1.
    """

    pools: Sequence[str]
    layers: Sequence[nn.Module]
    stride: int
    identity: bool

    @property
    def maps(self) -> int:
        """How many maps are computed from each source."""
        return len(self.pools) + self.identity

    def standards(self, maps: Sequence[Tensor] | Tensor) -> Statistics | None:
        """What the pooled maps are standardised by; None if there are none."""
        return statistics(self.layers, maps) if self.pools else None


def mixed_pools(x: Tensor, pooling: Pooling, shares: Tensor) -> Tensor:
    """Sum over sources and maps.

    Args:
        x: (N, H, W, sources, C).
        pooling: at least one map of each source.
        shares: (maps, targets, sources).

    Returns:
        (N, H' W', targets, C).
    """
    if are_compiled(x, shares):
        total: Tensor = _MixedPools.apply(x, shares, pooling)
        return total
    return _by_torch(x, pooling, shares, pooling.standards)


def _by_torch(
    x: Tensor,
    pooling: Pooling,
    shares: Tensor,
    standards: Callable[[Sequence[Tensor]], Statistics | None],
) -> Tensor:
    """In terms that can be differentiated again: one small product over sources and maps."""
    image = x.flatten(3).permute(0, 3, 1, 2)
    pools = [POOLS[name](image, pooling.stride) for name in pooling.pools]
    maps = [each.permute(0, 2, 3, 1).unflatten(3, x.shape[3:]).flatten(1, 2) for each in pools]
    given = standards(raised(*maps)) if maps else None
    if given is not None:
        maps = normalised_by(given, raised(*maps))
    if pooling.identity:
        maps.append(x.flatten(1, 2))
    each = torch.stack([source for y in maps for source in y.unbind(2)])
    total = torch.cat(shares.unbind(), dim=1) @ each.flatten(1)
    return total.unflatten(1, each.shape[1:]).permute(1, 2, 0, 3)


class _MixedPools(torch.autograd.Function):
    """By kernels; a gradient that is to be differentiated again is that of `_by_torch`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shares: Tensor, pooling: Pooling) -> Tensor:
        from search_spaces.mixed_pools_kernels import forward

        total, kept = forward(x, pooling, shares)
        ctx.save_for_backward(x, shares, kept.maps, kept.taps)
        ctx.pooling, ctx.given = pooling, kept.given
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _MixedPools.differentiable(ctx, slope)
        from search_spaces.mixed_pools_kernels import Backward, Kept

        x, shares, maps, taps = ctx.saved_tensors
        done = Backward(slope, x, ctx.pooling, shares, Kept(maps, taps, ctx.given))
        return done.to_x() if ctx.needs_input_grad[0] else None, done.to_shares(), None

    @staticmethod
    def differentiable(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients as functions of what the sum was computed from."""
        x, shares, *_ = ctx.saved_tensors
        inputs, needed = (x, shares), ctx.needs_input_grad[:2]
        wanted = [each for each, is_needed in zip(inputs, needed, strict=True) if is_needed]
        total = _by_torch(x, ctx.pooling, shares, lambda _: ctx.given)
        found = iter(torch.autograd.grad(total, wanted, slope, create_graph=True))
        return *(next(found) if is_needed else None for is_needed in needed), None
