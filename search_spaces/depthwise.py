"""Convolutions within each channel, in the forms that are fast to differentiate.

The library's own gradients of depthwise convolutions are slow on a CPU where a kernel is dilated or
wider than three columns. Both gradients have other forms, equal but for rounding:

- with stride 1, the gradient of the input is a convolution with the flipped kernel;
- the gradient of a wide kernel is put together from those of up to three columns each;
- with dilation d, the pixels of every d-th row and column convolve without dilation.

All of these are functions of the same two operations, so that they can be differentiated again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.autocast import lowered

COLUMNS = 3
"""Widest kernel whose gradient the library computes fast."""


@dataclass(frozen=True)
class Shape:
    """Square kernel, odd, padded so that stride 1 keeps the size; stride or dilation is 1."""

    kernel: int
    stride: int = 1
    dilation: int = 1

    @property
    def padding(self) -> int:
        """Zeros on each side."""
        return self.dilation * (self.kernel - 1) // 2


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Each channel convolved with its own kernel.

    Args:
        x: (N, C, H, W).
        weight: (C, 1, k, k), k odd.
        stride, dilation: one of them 1.

    Returns:
        (N, C, ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: neither stride nor dilation is 1.
    """
    if stride != 1 and dilation != 1:
        raise ValueError(f"stride {stride} and dilation {dilation}: one of them must be 1")
    x, weight = lowered(x, weight)
    output: Tensor = _Convolution.apply(x, weight, Shape(weight.shape[-1], stride, dilation))
    return output


class _Convolution(torch.autograd.Function):
    """(x, weight) to output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        ctx.size = x.shape
        to_x, to_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if to_weight else None, weight if to_x else None)
        ctx.shape = shape
        return _convolve(x, weight, shape)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight = ctx.needs_input_grad[:2]
        return (
            _InputGradient.apply(slope, weight, ctx.shape, ctx.size) if to_x else None,
            _WeightGradient.apply(x, slope, ctx.shape) if to_weight else None,
            None,
        )


class _InputGradient(torch.autograd.Function):
    """(slope, weight) to the gradient of x: the transpose of the convolution."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, weight: Tensor, shape: Shape, size: torch.Size) -> Tensor:
        to_slope, to_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(slope if to_weight else None, weight if to_slope else None)
        ctx.shape = shape
        if shape.stride == 1:
            return _convolve(slope, weight.flip(2, 3), shape)
        return _library_input_gradient(slope, weight, shape, size)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        slope, weight = ctx.saved_tensors
        to_slope, to_weight = ctx.needs_input_grad[:2]
        return (
            _Convolution.apply(g, weight, ctx.shape) if to_slope else None,
            _WeightGradient.apply(g, slope, ctx.shape) if to_weight else None,
            None,
            None,
        )


class _WeightGradient(torch.autograd.Function):
    """(x, slope) to the gradient of the weight, bilinear in both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, shape: Shape) -> Tensor:
        ctx.size = x.shape
        to_x, to_slope = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if to_slope else None, slope if to_x else None)
        ctx.shape = shape
        if x.device.type != "cpu":
            kernel, padding = (shape.kernel, shape.kernel), (shape.padding, shape.padding)
            return _library_gradient(x, slope, kernel, shape.stride, padding, shape.dilation)
        return _weight_gradient(x, slope, shape)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, slope = ctx.saved_tensors
        to_x, to_slope = ctx.needs_input_grad[:2]
        return (
            _InputGradient.apply(slope, g, ctx.shape, ctx.size) if to_x else None,
            _Convolution.apply(x, g, ctx.shape) if to_slope else None,
            None,
        )


def _convolve(x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    return functional.conv2d(
        x, weight, None, shape.stride, shape.padding, shape.dilation, weight.shape[0]
    )


def _weight_gradient(x: Tensor, slope: Tensor, shape: Shape) -> Tensor:
    """Gradient of the weight from kernels of few columns on images of enough rows."""
    x, slope = _phases(x, slope, shape)
    kernel, padding, stride = shape.kernel, (shape.kernel - 1) // 2, shape.stride
    rows, columns = (max(0, kernel - length) for length in slope.shape[2:])
    if rows or columns:
        x = functional.pad(x, (0, stride * columns, 0, stride * rows))
        slope = functional.pad(slope, (0, columns, 0, rows))
    if kernel <= COLUMNS:
        whole = _library_gradient(x, slope, (kernel, kernel), stride, (padding, padding))
    else:
        whole = torch.cat(
            [
                _library_gradient(
                    _seen_by(x, slope, first, columns, shape),
                    slope,
                    (kernel, columns),
                    stride,
                    (padding, 0),
                )
                for first in range(0, kernel, COLUMNS)
                if (columns := min(COLUMNS, kernel - first))
            ],
            dim=3,
        )
    phases = shape.dilation**2
    return whole if phases == 1 else whole.unflatten(0, (phases, -1)).sum(0)


def _seen_by(x: Tensor, slope: Tensor, first: int, columns: int, shape: Shape) -> Tensor:
    """The columns of x that some columns of the kernel meet, zeros beyond the border."""
    left = (shape.kernel - 1) // 2 - first
    width = shape.stride * (slope.shape[3] - 1) + columns
    return functional.pad(x, (left, width - x.shape[3] - left))


def _phases(x: Tensor, slope: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Every d-th row and column as channels of their own, d**2 as many: dilation 1 from 2, or d."""
    d = shape.dilation
    if d == 1:
        return x, slope
    border = (0, -x.shape[3] % d, 0, -x.shape[2] % d)
    return _apart(functional.pad(x, border), d), _apart(functional.pad(slope, border), d)


def _apart(x: Tensor, d: int) -> Tensor:
    phases = x.unflatten(2, (-1, d)).unflatten(4, (-1, d))  # (N, C, H / d, d, W / d, d)
    apart = phases.permute(0, 2, 4, 3, 5, 1).flatten(3)  # (N, H / d, W / d, d * d * C)
    return apart.permute(0, 3, 1, 2)


def _library_gradient(
    x: Tensor,
    slope: Tensor,
    kernel: tuple[int, int],
    stride: int,
    padding: tuple[int, int],
    dilation: int = 1,
) -> Tensor:
    channels = x.shape[1]
    return torch.ops.aten.convolution_backward(
        slope,
        x,
        x.new_empty(channels, 1, *kernel),
        None,
        (stride, stride),
        padding,
        (dilation, dilation),
        False,
        (0, 0),
        channels,
        (False, True, False),
    )[1]


def _library_input_gradient(
    slope: Tensor, weight: Tensor, shape: Shape, size: torch.Size
) -> Tensor:
    return torch.ops.aten.convolution_backward(
        slope,
        slope.new_empty(size),
        weight,
        None,
        (shape.stride, shape.stride),
        (shape.padding, shape.padding),
        (shape.dilation, shape.dilation),
        False,
        (0, 0),
        weight.shape[0],
        (True, False, False),
    )[0]
