"""Separable convolutions on the edges of a stage: within channels, then across them.

All edges that leave a source read its map. Of what is between the two convolutions nothing is kept:
where it is needed for a gradient it is computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from search_spaces.depthwise import depthwise
from search_spaces.kernel_choice import are_compiled
from search_spaces.pixel_products import product


@dataclass(frozen=True)
class Separable:
    """Weights of one operation on all edges, stacked by targets, and for each of them by sources.

    Attributes:
        within: (edges * C, 1, k, k), k odd.
        across: (edges, C, C), as of convolutions.
        stride: 1 or 2.
        dilation: 1 or 2.
    """

    within: Tensor
    across: Tensor
    stride: int = 1
    dilation: int = 1


def separable(x: Tensor, targets: int, operations: Sequence[Separable]) -> list[Tensor]:
    """What each operation makes of the sources' maps.

    Args:
        x: (N, H, W, sources, C).
        targets: that read each source.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), targets * sources, C) each.
    """
    weights = [weight for each in operations for weight in (each.within, each.across)]
    if are_compiled(x, *weights) and all(each.within.shape[2] in (3, 5) for each in operations):
        forms = tuple((each.stride, each.dilation) for each in operations)
        return list(_Separable.apply(x, targets, forms, *weights))
    return _by_torch(x, targets, operations)


def _by_torch(x: Tensor, targets: int, operations: Sequence[Separable]) -> list[Tensor]:
    edges = x.unsqueeze(3).expand(-1, -1, -1, targets, -1, -1).flatten(3, 4)
    return [_one_by_torch(edges, each) for each in operations]


def _one_by_torch(x: Tensor, operation: Separable) -> Tensor:
    """With stride and dilation, every second pixel only is seen, and these without dilation."""
    stride, dilation = operation.stride, operation.dilation
    if dilation > 1 and stride > 1:
        x, stride, dilation = x[:, ::stride, ::stride], 1, dilation // stride
    image = x.flatten(3).permute(0, 3, 1, 2)
    y = depthwise(image, operation.within, stride, dilation).permute(0, 2, 3, 1)
    d = y.unflatten(3, x.shape[3:])
    return product(d.flatten(0, 2), operation.across).view(d.shape)


class _Separable(torch.autograd.Function):
    """By kernels; a gradient that is to be differentiated again is that of `_by_torch`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, targets: int, forms: tuple[tuple[int, int], ...], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        from search_spaces.separable_kernels import forward

        keeps = any(ctx.needs_input_grad[3:])
        ctx.save_for_backward(x if keeps else None, *weights)
        ctx.targets, ctx.forms, ctx.size = targets, forms, x.shape
        return tuple(forward(x, targets, forms, weights))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        needed = (ctx.needs_input_grad[0], *ctx.needs_input_grad[3:])
        if x is None:  # it is linear in x
            x = slopes[0].new_zeros(()).expand(ctx.size).requires_grad_(torch.is_grad_enabled())
        if torch.is_grad_enabled():
            inputs = [x, *weights]
            pairs = zip(weights[::2], weights[1::2], ctx.forms, strict=True)
            operations = [Separable(*two, *form) for *two, form in pairs]
            results = _by_torch(x, ctx.targets, operations)
            wanted = [each for each, is_needed in zip(inputs, needed, strict=True) if is_needed]
            found = iter(torch.autograd.grad(results, wanted, slopes, create_graph=True))
            to_x, *others = (next(found) if is_needed else None for is_needed in needed)
            return to_x, None, None, *others
        from search_spaces.separable_kernels import backward

        to_x, others = backward(x, ctx.targets, ctx.forms, weights, slopes, needed)
        return to_x, None, None, *others
