"""Separable and dilated convolutions on the edges of a stage, normalised, weighted and summed.

An operation is a ReLU, a separable convolution and a norm layer, or two of each of these. On a
CPU the whole sum is one function, of which kernels compute values and gradients. It keeps what
stands before the norm layers, and computes again what is behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.autocast import raised
from search_spaces.kernel_choice import are_compiled
from search_spaces.map_norm import Statistics, rectified_by, statistics, weighted_by
from search_spaces.separable import Separable, separable


@dataclass(frozen=True)
class Operation:
    """One or two separable convolutions, the second without stride, a norm layer behind each."""

    convolutions: tuple[Separable, ...]
    layers: tuple[nn.Module, ...]

    @property
    def is_twofold(self) -> bool:
        """Whether there are two convolutions."""
        return len(self.convolutions) == 2


def mixed_separable(x: Tensor, operations: Sequence[Operation], shares: Tensor) -> Tensor:
    """Sum over sources and operations.

    Args:
        x: (N, H, W, sources, C).
        operations: all with the same stride of the first convolution.
        shares: (operations, targets, sources).

    Returns:
        (N, H' W', targets, C).
    """
    weights = [each for operation in operations for each in _weights_of(operation)]
    given = [each for each in weights if each is not None]
    if are_compiled(x, shares, *given):
        total: Tensor = _MixedSeparable.apply(x, shares, operations, *weights)
        return total
    return _by_torch(x, operations, shares, statistics)


def _by_torch(
    x: Tensor,
    operations: Sequence[Operation],
    shares: Tensor,
    standards: Callable[[Sequence[nn.Module], Sequence[Tensor]], Statistics],
) -> Tensor:
    """In terms that can be differentiated again.

    ``standards`` are asked for twice, for what is between two convolutions and for what is last.
    """
    shape, x = shares.shape[1:], functional.relu(x)
    maps = [separable(x, shape[0], each.convolutions[0]) for each in operations]
    twice = [place for place, each in enumerate(operations) if each.is_twofold]
    if twice:
        before = raised(*(maps[place].flatten(1, 2) for place in twice))
        layers = [operations[place].layers[0] for place in twice]
        between = rectified_by(standards(layers, before), before)
        for place, y in zip(twice, between, strict=True):
            second = operations[place].convolutions[1]
            maps[place] = separable(y.view(maps[place].shape), 1, second)
    last = raised(*(y.flatten(1, 2).unflatten(2, shape) for y in maps))
    return weighted_by(standards([each.layers[-1] for each in operations], last), last, shares)


class _MixedSeparable(torch.autograd.Function):
    """By kernels; a gradient that is to be differentiated again is that of `_by_torch`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shares: Tensor,
        operations: Sequence[Operation],
        *weights: Tensor | None,
    ) -> Tensor:
        from search_spaces.mixed_separable_kernels import forward

        total, kept = forward(x, operations, shares)
        ctx.save_for_backward(x, shares, *weights, kept.between, kept.last)
        ctx.operations, ctx.standards, ctx.kernels = operations, kept.standards, kept.kernels
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _MixedSeparable.differentiable(ctx, slope)
        from search_spaces.mixed_separable_kernels import Backward, Kept
        from search_spaces.separable_kernels import Needed

        to_x, _, _, *to_weights = ctx.needs_input_grad
        x, shares, *saved = ctx.saved_tensors
        between, last = saved[len(to_weights) :]
        kept = Kept(between, last, ctx.standards, ctx.kernels)
        needed = [Needed(*to_weights[i : i + 3]) for i in range(0, len(to_weights), 3)]
        done = Backward(x, ctx.operations, shares, kept, to_x, needed)
        found_x, found_shares, found = done.gradients(slope)
        return found_x, found_shares, None, *(weight for each in found for weight in each)

    @staticmethod
    def differentiable(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients as functions of what the sum was computed from."""
        to_x, to_shares, _, *to_weights = ctx.needs_input_grad
        x, shares, *saved = ctx.saved_tensors
        weights = saved[: len(to_weights)]
        inputs, needed = [x, shares, *weights], [to_x, to_shares, *to_weights]
        wanted = [each for each, is_needed in zip(inputs, needed, strict=True) if is_needed]
        standards = (each for each in ctx.standards if each is not None)
        operations = _with(ctx.operations, weights)
        total = _by_torch(x, operations, shares, lambda *_: next(standards))
        found = iter(torch.autograd.grad(total, wanted, slope, create_graph=True))
        own_x, own_shares, *own = (next(found) if is_needed else None for is_needed in needed)
        return own_x, own_shares, None, *own


def _weights_of(operation: Operation) -> list[Tensor | None]:
    parts = operation.convolutions
    return [weight for each in parts for weight in (each.within, each.across, each.bias)]


def _with(operations: Sequence[Operation], weights: Sequence[Tensor | None]) -> list[Operation]:
    """The operations with other weights."""
    given = iter(weights)

    def convolution(one: Separable) -> Separable:
        within, across, bias = next(given), next(given), next(given)
        assert within is not None
        assert across is not None
        return replace(one, within=within, across=across, bias=bias)

    return [
        replace(each, convolutions=tuple(convolution(one) for one in each.convolutions))
        for each in operations
    ]
