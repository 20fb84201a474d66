"""Every second pixel of maps, as factorised reductions see them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def halved(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every second pixel of (N, H, W, ...) from (0, 0) on, and as many from (1, 1) on.

    Beyond the border the latter are zero.
    """
    even, odd = _Halved.apply(x)
    return even, odd


class _Halved(torch.autograd.Function):
    """Both at once, so that both gradients are written to one map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.shape = x.shape
        even = x[:, ::2, ::2].clone(memory_format=torch.contiguous_format)
        odd, inside = torch.zeros_like(even), x[:, 1::2, 1::2]
        odd[:, : inside.shape[1], : inside.shape[2]] = inside
        return even, odd

    @staticmethod
    def backward(ctx: Any, to_even: Tensor, to_odd: Tensor) -> Tensor:
        to_x = to_even.new_zeros(ctx.shape)
        to_x[:, ::2, ::2] = to_even
        height, width = (length // 2 for length in ctx.shape[1:3])
        to_x[:, 1::2, 1::2] = to_odd[:, :height, :width]
        return to_x
