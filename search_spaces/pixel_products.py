"""Products across channels, of many maps beside each other, with channels last."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from search_spaces.autocast import lowered


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Each map's channels times its weights.

    Args:
        x: (rows, maps, in).
        weight: (maps, out, in), as of convolutions.

    Returns:
        (rows, maps, out), contiguous.
    """
    y: Tensor = _Product.apply(*lowered(x, weight))
    return y


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """1x1 convolution of images with channels last.

    Args:
        x: (N, H, W, in).
        weight: (out, in, 1, 1).
        bias: (out,).

    Returns:
        (N, H, W, out), contiguous.
    """
    y = product(x.flatten(0, 2).unsqueeze(1), weight.flatten(1).unsqueeze(0))
    y = y.view(*x.shape[:3], -1)
    return y if bias is None else y + bias


class _Product(torch.autograd.Function):
    """A batched product that is written straight to where a convolution can read it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        to_x, to_weight = ctx.needs_input_grad
        ctx.save_for_backward(x if to_weight else None, weight if to_x else None)
        y = x.new_empty(*x.shape[:2], weight.shape[1])
        torch.bmm(x.transpose(0, 1), weight.transpose(1, 2), out=y.transpose(0, 1))
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight = ctx.needs_input_grad
        return (
            product(g, weight.transpose(1, 2)) if to_x else None,
            torch.bmm(g.permute(1, 2, 0), x.transpose(0, 1)) if to_weight else None,
        )
