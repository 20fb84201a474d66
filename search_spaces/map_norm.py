"""Norm layers without scale and shift, and what follows them, in one and for many maps at once.

A norm layer is described by the average over what it takes together: the pixels of a channel
(instance), of a group of channels, or of a channel in a batch. With it,

    mean = average(y),  scale = (average(y^2) - mean^2 + eps)^(-1/2),  norm(y) = scale (y - mean),

and a gradient g behind it is  scale (g - average(g) - norm(y) average(g norm(y)))  before it.
Only y is kept for that. The gradients are written in differentiable terms: where a gradient is to
be differentiated again, mean and scale become functions of y.

Maps are (N, pixels, ..., C) and dense; layers have as many channels as stand behind the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from search_spaces.autocast import raised
from search_spaces.kernel_choice import are_compiled

Average = Callable[[Tensor], Tensor]
"""From averages of channels over pixels, (maps, N, ..., C), to those of the norm layer."""


@runtime_checkable
class JoinsSamples(Protocol):
    """A batch norm over more samples than it is given, as of a batch that is in several parts."""

    def joined(self, samples: int) -> tuple[int | Tensor, Average]:
        """How many samples there are in all, and their average, (maps, 1, ..., C).

        The average has gradients of every order. All samples have equally many pixels.

        Args:
            samples: how many the layer is given.
        """


@dataclass(frozen=True)
class Within:
    """Average over groups of so many channels and, if joined, over samples, (maps, 1, ..., C)."""

    channels: int = 1
    joined: bool = False

    def __call__(self, values: Tensor) -> Tensor:
        """The averages of the norm layer."""
        if self.channels > 1:
            groups = values.unflatten(-1, (-1, self.channels))
            values = groups.mean(-1, keepdim=True).expand_as(groups).flatten(-2)
        return values.mean(1, keepdim=True) if self.joined else values


@dataclass(frozen=True)
class Statistics:
    """Mean and scale of some maps, (maps, N, ..., C) or broadcast to that.

    ``average`` is None if they do not depend on the maps.
    """

    mean: Tensor
    scale: Tensor
    average: Average | None = None
    eps: float = 0.0

    def of(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and scale, as functions of the maps if their gradients are to be differentiated."""
        if self.average is None or not torch.is_grad_enabled():
            return self.mean, self.scale
        return _moments(maps, self.average, self.eps)


def normalised(layers: Sequence[nn.Module], maps: Sequence[Tensor]) -> list[Tensor]:
    """The norm layers on their maps."""
    if isinstance(layers[0], nn.Identity):
        return list(maps)
    maps = raised(*maps)
    return normalised_by(statistics(layers, maps), maps)


def normalised_by(given: Statistics, maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps that are standardised by what is known."""
    return list(_Normalised.apply(given, False, *maps))


def rectified(layers: Sequence[nn.Module], maps: Sequence[Tensor]) -> list[Tensor]:
    """ReLU of the norm layers on their maps."""
    if isinstance(layers[0], nn.Identity):
        return [functional.relu(y) for y in maps]
    maps = raised(*maps)
    return rectified_by(statistics(layers, maps), maps)


def rectified_by(given: Statistics, maps: Sequence[Tensor]) -> list[Tensor]:
    """ReLU of `normalised_by`."""
    return list(_Normalised.apply(given, True, *maps))


def weighted(layers: Sequence[nn.Module], maps: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum over maps and sources of normalised maps.

    Args:
        layers: a norm layer for each map.
        maps: (N, pixels, targets, sources, C) each.
        weights: (maps, targets, sources).

    Returns:
        (N, pixels, targets, C).
    """
    maps = raised(*maps)
    return weighted_by(statistics(layers, maps), maps, weights)


def weighted_by(given: Statistics, maps: Sequence[Tensor], weights: Tensor) -> Tensor:
    """`weighted` of maps that are standardised by what is known."""
    total: Tensor = _Weighted.apply(weights, given, *maps)
    return total


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Statistics, relu: bool, *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*maps)
        ctx.given, ctx.relu = given, relu
        if are_compiled(*maps):
            return tuple(_kernels().standardised(maps, given, relu).unbind())
        results = _standard(maps, given.mean, given.scale)
        return tuple(y.relu_() for y in results) if relu else tuple(results)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        maps = ctx.saved_tensors
        if not torch.is_grad_enabled() and are_compiled(*maps, *slopes):
            return None, None, *_kernels().Slopes(slopes, maps, ctx.given, ctx.relu).to_maps()
        mean, scale = ctx.given.of(maps)
        standard = _standard(maps, mean, scale)
        if ctx.relu:
            slopes = tuple(
                torch.ops.aten.threshold_backward(g, y, 0)
                for g, y in zip(slopes, standard, strict=True)
            )
        average = ctx.given.average
        if average is None:
            return None, None, *(g * s for g, s in zip(slopes, _rows(scale), strict=True))
        shift = average(_averages(slopes)) * -scale
        slope = average(_averages_of_products(slopes, standard)) * -scale
        return None, None, *_combined(slopes, scale, standard, slope, shift)


class _Weighted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, given: Statistics, *maps: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *maps)
        ctx.given = given
        if are_compiled(*maps):
            total: Tensor = _kernels().weighted(maps, given, weights)
            return total
        factor = weights.unsqueeze(1).unsqueeze(-1) * given.scale
        total = -(factor * given.mean).sum(0).unsqueeze(1)
        for place, (y, factors) in enumerate(zip(maps, _rows(factor), strict=True)):
            total = total.addcmul_(y, factors) if place else torch.addcmul(total, y, factors)
        return total.sum(3) if total.shape[3] > 1 else total.squeeze(3)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        weights, *maps = ctx.saved_tensors
        if not torch.is_grad_enabled() and are_compiled(*maps, g):
            found = _kernels().Slopes([g], maps, ctx.given, relu=False)
            return found.to_weights(), None, *found.to_maps(weights)
        average, pixels = ctx.given.average, g.shape[1]
        mean, scale = ctx.given.of(maps)
        along = g.mean(1).unsqueeze(2).unsqueeze(0)
        g = g.unsqueeze(3).expand(maps[0].shape).contiguous()
        slopes = [g] * len(maps)
        standard = scale * (_averages_of_products(slopes, maps) - mean * along)
        to_weights = standard.sum((1, 4)) * pixels
        factor = weights.unsqueeze(1).unsqueeze(-1) * scale
        if average is None:
            return to_weights, None, *(g * each for each in _rows(factor))
        slope = -factor * scale * average(standard)
        shift = -factor * average(along) - slope * mean
        return to_weights, None, *_combined(slopes, factor, maps, slope, shift)


def _kernels() -> ModuleType:
    """What needs the optional library, once it is needed."""
    from search_spaces import map_norm_kernels

    return map_norm_kernels


def statistics(layers: Sequence[nn.Module], maps: Sequence[Tensor] | Tensor) -> Statistics:
    """What the layers standardise their maps by.

    Batch norm in training takes the maps into its running statistics, and else goes by them.

    Args:
        layers: one for each map.
        maps: all of one shape.

    Raises:
        ValueError: there is one value per channel, which batch and instance norm make zero.
    """
    apart = maps.detach() if isinstance(maps, Tensor) else [y.detach() for y in maps]
    samples, pixels, *shape = maps[0].shape
    row = maps[0].new_empty(samples, *shape)
    return _statistics(layers, row, pixels, partial(_moments, apart))


def statistics_of_sums(layers: Sequence[nn.Module], sums: Tensor, pixels: int) -> Statistics:
    """`statistics` of maps of which sums are known.

    Args:
        layers: one for each map.
        sums: of the maps and of their squares over pixels, (2, maps, N, ..., C).
        pixels: of a map.

    Raises:
        ValueError: as there.
    """
    return _statistics(layers, sums[0, 0], pixels, partial(_moments_of_sums, sums, pixels))


def _statistics(
    layers: Sequence[nn.Module],
    row: Tensor,
    pixels: int,
    moments: Callable[[Average, float], tuple[Tensor, Tensor]],
) -> Statistics:
    """From mean and scale, given an average and eps, of maps with numbers (N, ..., C) a pixel."""
    layer, samples, shape = layers[0], len(row), row.shape[1:]
    if isinstance(layer, nn.Identity):
        ones = row.new_ones(()).expand(len(layers), 1, *shape)
        return Statistics(torch.zeros_like(ones), ones)
    if isinstance(layer, _BatchNorm) and not layer.training:
        means, variances = (
            torch.stack([getattr(each, name).view(1, *shape) for each in layers])
            for name in ("running_mean", "running_var")
        )
        return Statistics(means, torch.rsqrt(variances + layer.eps))
    assert isinstance(layer, nn.GroupNorm | _BatchNorm | nn.InstanceNorm2d)
    count, average = _taken_together(layer, samples, pixels)
    if not isinstance(count, Tensor) and count == 1:
        size = [samples, pixels, *shape]
        raise ValueError(f"Expected more than 1 value per channel, got input size {size}")
    mean, scale = moments(average, layer.eps)
    if isinstance(layer, _BatchNorm) and layer.track_running_stats:
        _track(layers, mean[:, :1], scale[:, :1], layer.eps, count)
    return Statistics(mean, scale, average, layer.eps)


def _taken_together(layer: nn.Module, samples: int, pixels: int) -> tuple[int | Tensor, Average]:
    """Of how many values there must be two or more, and what a norm layer averages over."""
    if isinstance(layer, nn.GroupNorm):
        channels = layer.num_channels // layer.num_groups
        return samples * channels * pixels, Within(channels)
    if isinstance(layer, nn.BatchNorm2d):
        return samples * pixels, Within(joined=True)
    if isinstance(layer, nn.InstanceNorm2d):
        return pixels, Within()
    assert isinstance(layer, JoinsSamples)
    joined, average = layer.joined(samples)
    return joined * pixels, average


def _moments(
    maps: Sequence[Tensor] | Tensor, average: Average, eps: float
) -> tuple[Tensor, Tensor]:
    given = [maps] if isinstance(maps, Tensor) else maps
    apart = not any(y.requires_grad for y in given)
    if apart and isinstance(average, Within) and are_compiled(*given):
        return _moments_of_sums(_kernels().sums(maps), maps[0].shape[1], average, eps)
    each = list(maps)
    averages = torch.cat([_averages(each), _averages_of_products(each, each)])
    return _moments_of(averages, average, eps)


def _moments_of_sums(
    sums: Tensor, pixels: int, average: Average, eps: float
) -> tuple[Tensor, Tensor]:
    if isinstance(average, Within) and are_compiled(sums):
        found: tuple[Tensor, Tensor] = _kernels().statistics(sums, pixels, average, eps)
        return found
    return _moments_of(sums.flatten(0, 1) / pixels, average, eps)


def _moments_of(averages: Tensor, average: Average, eps: float) -> tuple[Tensor, Tensor]:
    mean, square = average(averages).chunk(2)
    return mean, torch.rsqrt((square - mean * mean).clamp_min(0) + eps)


def _averages(maps: Sequence[Tensor]) -> Tensor:
    """Averages over pixels, (maps, N, ..., C)."""
    return torch.stack([y.sum(1) for y in maps]) / maps[0].shape[1]


def _averages_of_products(maps: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Averages over pixels of products, which share one piece of memory unless a graph is made."""
    if torch.is_grad_enabled():
        return _averages([x * y for x, y in zip(maps, others, strict=True)])
    product = torch.empty_like(others[0])
    sums = [torch.mul(x, y, out=product).sum(1) for x, y in zip(maps, others, strict=True)]
    return torch.stack(sums) / product.shape[1]


def _combined(
    maps: Sequence[Tensor], a: Tensor, others: Sequence[Tensor], b: Tensor, c: Tensor
) -> list[Tensor]:
    """a map + b other + c for each pair, with coefficients (maps, N, ..., C)."""
    results = []
    for x, y, *rows in zip(maps, others, *(_rows(part) for part in (a, b, c)), strict=True):
        first = torch.addcmul(rows[2], x, rows[0])
        graph = torch.is_grad_enabled()
        results.append(torch.addcmul(first, y, rows[1], out=None if graph else first))
    return results


def _standard(maps: Sequence[Tensor], mean: Tensor, scale: Tensor) -> list[Tensor]:
    return [
        torch.addcmul(shift, y, factor)
        for y, factor, shift in zip(maps, _rows(scale), _rows(-mean * scale), strict=True)
    ]


def _rows(values: Tensor) -> Tensor:
    """(maps, N, ..., C) to (maps, N, 1, ..., C), which are broadcast along the pixels."""
    return values.unsqueeze(2)


RUNNING = ("running_mean", "running_var", "num_batches_tracked")


@torch.no_grad()
def _track(
    layers: Sequence[nn.Module], mean: Tensor, scale: Tensor, eps: float, count: int | Tensor
) -> None:
    """Running statistics as batch norm keeps them, of the unbiased variance."""
    variance = (scale**-2 - eps) * (count / (count - 1))
    momentum = cast(float, layers[0].momentum)
    means, variances, batches = ([getattr(each, name) for each in layers] for name in RUNNING)
    torch._foreach_lerp_(means, list(mean.flatten(1).unbind()), momentum)
    torch._foreach_lerp_(variances, list(variance.flatten(1).unbind()), momentum)
    torch._foreach_add_(batches, 1)
