"""Norm layers without scale and shift on maps with pixels first, and what follows them, in one.

A norm layer sees (pixels, N, ..., channels) and is described by the average over what it takes
together: a channel's pixels (instance), those of a group of channels, or of a batch. With it,

    mean = average(y),  scale = (average(y^2) - mean^2 + eps)^(-1/2),  norm(y) = scale (y - mean),

and a gradient g behind it is  scale (g - average(g) - norm(y) average(g norm(y)))  before it.
Only y is kept for that. The gradients are written in differentiable terms: where a gradient is to
be differentiated again, mean and scale become functions of y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Average = Callable[[Tensor], Tensor]
"""From the averages of channels over pixels, (..., N, *, C), to those of the norm layer."""


@dataclass(frozen=True)
class Statistics:
    """Mean and scale, (N, *, C) or broadcast to it; no average if they do not depend on the maps."""

    mean: Tensor
    scale: Tensor
    average: Average | None
    eps: float

    def of(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale, as functions of y if its gradient is to be differentiated."""
        if self.average is None or not torch.is_grad_enabled():
            return self.mean, self.scale
        return _moments(y, self.average, self.eps)


def statistics(layer: nn.Module, y: Tensor) -> Statistics:
    """What a norm layer of as many channels as stand behind N would standardise y by.

    Args:
        layer: batch, instance or group norm without scale and shift, or the identity. Batch norm
            in training takes y into its running statistics, and else standardises by them.
        y: (pixels, N, ..., C).
    """
    y = y.detach()
    if isinstance(layer, nn.Identity):
        return Statistics(y.new_zeros(()), y.new_ones(()), None, 0.0)
    shape = y.shape[2:]
    if isinstance(layer, nn.BatchNorm2d) and not layer.training:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        scale = torch.rsqrt(layer.running_var + layer.eps)
        return Statistics(layer.running_mean.view(shape), scale.view(shape), None, layer.eps)
    average: Average
    if isinstance(layer, nn.GroupNorm):
        average = _over_groups(layer.num_channels // layer.num_groups)
    else:
        average = _over_batch if isinstance(layer, nn.BatchNorm2d) else _over_nothing
    mean, scale = _moments(y, average, layer.eps)
    if isinstance(layer, nn.BatchNorm2d):
        _track(layer, mean, scale, y.shape[0] * y.shape[1])
    return Statistics(mean, scale, average, layer.eps)


def normalised(layer: nn.Module, y: Tensor) -> Tensor:
    """The norm layer on y (pixels, N, ..., C)."""
    given = statistics(layer, y)
    if given.average is None:
        return (y - given.mean) * given.scale
    mean, scale = _moments(y, given.average, given.eps)
    return (y - mean) * scale


def rectified(layer: nn.Module, y: Tensor) -> Tensor:
    """ReLU of the norm layer on y (pixels, N, ..., C)."""
    result: Tensor = _Rectified.apply(y, statistics(layer, y))
    return result


def weighted(layers: Sequence[nn.Module], maps: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum of normalised maps over maps and sources.

    Args:
        layers: a norm layer for each map.
        maps: (pixels, N, targets, sources, C) each.
        weights: (maps, targets, sources).

    Returns:
        (pixels, N, targets, C).
    """
    given = [statistics(layer, y) for layer, y in zip(layers, maps, strict=True)]
    total: Tensor = _Weighted.apply(weights, given, *maps)
    return total


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, given: Statistics) -> Tensor:
        ctx.save_for_backward(y)
        ctx.given = given
        return torch.addcmul(-given.mean * given.scale, y, given.scale).relu_()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        average = ctx.given.average
        mean, scale = ctx.given.of(y)
        standard = torch.addcmul(-mean * scale, y, scale)
        g = torch.ops.aten.threshold_backward(g, standard, 0)
        if average is None:
            return g * scale, None
        shift = average(g.mean(0)) * -scale
        slope = average((g * standard).mean(0)) * -scale
        return torch.addcmul(torch.addcmul(shift, g, scale), standard, slope), None


class _Weighted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, given: Sequence[Statistics], *maps: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *maps)
        ctx.given = given
        mean, scale = _stacked([(each.mean, each.scale) for each in given], maps[0])
        factor = weights.unsqueeze(-1).unsqueeze(1) * scale
        total = -(factor * mean).sum(0)
        for place, (y, factors) in enumerate(zip(maps, factor, strict=True)):
            total = total.addcmul_(y, factors) if place else torch.addcmul(total, y, factors)
        return total.sum(3) if total.shape[3] > 1 else total.squeeze(3)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        weights, *maps = ctx.saved_tensors
        average = ctx.given[0].average
        mean, scale = _stacked([s.of(y) for s, y in zip(ctx.given, maps, strict=True)], maps[0])
        along = g.mean(0).unsqueeze(2)
        g = g.unsqueeze(3).expand(maps[0].shape).contiguous()
        products = torch.stack([(g * y).mean(0) for y in maps])
        standard = scale * (products - mean * along)
        to_weights = standard.sum((1, 4)) * g.shape[0]
        factor = weights.unsqueeze(-1).unsqueeze(1) * scale
        if average is None:
            return to_weights, None, *(g * each for each in factor)
        slope = -factor * scale * average(standard)
        shift = -factor * average(along) - slope * mean
        return (
            to_weights,
            None,
            *(
                torch.addcmul(torch.addcmul(c, g, a), y, b)
                for y, a, b, c in zip(maps, factor, slope, shift, strict=True)
            ),
        )


def _stacked(moments: Sequence[tuple[Tensor, Tensor]], y: Tensor) -> tuple[Tensor, Tensor]:
    means, scales = zip(*moments, strict=True)
    return tuple(torch.stack([m.expand(y.shape[1:]) for m in part]) for part in (means, scales))


def _moments(y: Tensor, average: Average, eps: float) -> tuple[Tensor, Tensor]:
    mean = average(y.mean(0))
    variance = average((y * y).mean(0)) - mean * mean
    return mean, torch.rsqrt(variance.clamp_min(0) + eps)


def _over_nothing(values: Tensor) -> Tensor:
    return values


def _over_batch(values: Tensor) -> Tensor:
    samples = -3 if values.dim() < 4 else -4
    return values.mean(samples, keepdim=True).expand_as(values)


def _over_groups(channels: int) -> Average:
    def average(values: Tensor) -> Tensor:
        groups = values.unflatten(-1, (-1, channels))
        return groups.mean(-1, keepdim=True).expand_as(groups).flatten(-2)

    return average


@torch.no_grad()
def _track(layer: nn.BatchNorm2d, mean: Tensor, scale: Tensor, count: int) -> None:
    """Running statistics as batch norm keeps them, of the unbiased variance."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    assert layer.momentum is not None
    variance = (scale[0].flatten() ** -2 - layer.eps) * (count / (count - 1))
    layer.running_mean.lerp_(mean[0].flatten(), layer.momentum)
    layer.running_var.lerp_(variance, layer.momentum)
    layer.num_batches_tracked.add_(1)
