"""What norm layers do with maps (N, pixels, ..., C), by kernels.

Means and scales, by which maps are standardised, are (maps, N or 1, ..., C). In here they and other
coefficients are arrays (maps, N or 1, R), R numbers of all edges beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.kernels import norms
from search_spaces.kernels.norms import Edges


def statistics(
    maps: Sequence[Tensor], channels: int, joined: bool, eps: float
) -> tuple[Tensor, Tensor]:
    """Mean and scale over pixels, groups of so many channels and, if joined, samples."""
    threads = torch.get_num_threads()
    sums = np.stack([norms.moments(_rows(y), threads) for y in maps], axis=1)
    mean, square = averaged(sums / maps[0].shape[1], channels, joined)
    scale = 1 / np.sqrt(np.maximum(square - mean * mean, 0) + eps)
    shape = (*mean.shape[:2], *maps[0].shape[2:])
    return torch.from_numpy(mean.reshape(shape)), torch.from_numpy(scale.reshape(shape))


def averaged(values: np.ndarray, channels: int, joined: bool) -> np.ndarray:
    """(..., N, R) averaged over groups of channels and, if joined, over samples (..., 1, R)."""
    if channels > 1:
        groups = values.reshape(*values.shape[:-1], -1, channels)
        values = np.repeat(np.add.reduce(groups, axis=-1) / channels, channels, axis=-1)
    if joined:
        values = np.add.reduce(values, axis=-2, keepdims=True) / values.shape[-2]
    return values


def standardised(maps: Sequence[Tensor], mean: Tensor, scale: Tensor, relu: bool) -> list[Tensor]:
    """scale (y - mean) of each map, or the ReLU of that."""
    factor, shift = _standardising(mean, scale)
    results = []
    for y, a, b in zip(maps, _whole(factor, maps), _whole(shift, maps), strict=True):
        out = torch.empty_like(y, memory_format=torch.contiguous_format)
        norms.standardised(_rows(y), a, b, _rows(out), relu, torch.get_num_threads())
        results.append(out)
    return results


def weighted(maps: Sequence[Tensor], mean: Tensor, scale: Tensor, weights: Tensor) -> Tensor:
    """Sum over maps and sources of weights (maps, targets, sources) times standardised maps."""
    own, shift = _standardising(mean, scale)
    each = _per_channel(weights, maps[0])
    n, pixels, targets, sources, channels = maps[0].shape
    constant = (each * shift).sum(0).reshape(-1, 1, targets, sources, channels).sum(3)
    total = torch.from_numpy(constant).expand(n, pixels, targets, channels).contiguous()
    edges = Edges(targets, sources, channels)
    for y, rows in zip(maps, _whole(each * own, maps), strict=True):
        norms.add_weighted(_rows(y), rows, _rows(total), edges, torch.get_num_threads())
    return total


class Slopes:
    """Gradients of standardised maps.

    Args:
        slopes: (N, pixels, ..., C) as the maps, or (N, pixels, targets, C) for maps of several
            sources, (N, pixels, targets, sources, C).
        maps: (N, pixels, ..., C).
        mean, scale: by which they are standardised.
        relu: the slopes are behind a ReLU of the standardised maps.

    Attributes:
        averages: over pixels, of slopes and of their products with standardised maps,
            (2, maps, N, R).
    """

    def __init__(
        self,
        slopes: Sequence[Tensor],
        maps: Sequence[Tensor],
        mean: Tensor,
        scale: Tensor,
        relu: bool,
    ) -> None:
        self.maps, self.relu = maps, relu
        self.pairs = [(_rows(g), _rows(y)) for g, y in zip(slopes, maps, strict=True)]
        self.edges = _edges(slopes[0], maps[0])
        self.threads = torch.get_num_threads()
        self.standard = _standardising(mean, scale)
        factors, shifts = (_whole(each, maps) for each in self.standard)
        sums = [
            norms.sums_of_slopes(g, y, factor, shift, self.edges, relu, self.threads)
            for (g, y), factor, shift in zip(self.pairs, factors, shifts, strict=True)
        ]
        self.averages = np.stack(sums, axis=1) / maps[0].shape[1]

    def to_weights(self) -> Tensor:
        """Gradient of weights, (maps, targets, sources)."""
        along = self.averages[1].sum(1).reshape(len(self.maps), *self.edges)
        return torch.from_numpy(along.sum(-1) * self.maps[0].shape[1])

    def to_maps(
        self, averages: np.ndarray | None, weights: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Gradients of the maps, one after the other.

        Args:
            averages: those of this object, over all that the norm layer takes together; None if
                mean and scale do not depend on the maps.
            weights: (maps, targets, sources) of the standardised maps, by default 1.
        """
        factor, shift = self.standard
        a = factor if weights is None else factor * _per_channel(weights, self.maps[0])
        b = c = np.zeros_like(a)
        if averages is not None:
            slope = -a * averages[1]
            b, c = slope * factor, slope * shift - a * averages[0]
        rows = [_whole(each, self.maps) for each in (factor, shift, a, b, c)]
        for (g, y), like, *gate, one, two, three in zip(self.pairs, self.maps, *rows, strict=True):
            out = torch.empty_like(like, memory_format=torch.contiguous_format)
            gated = (gate[0], gate[1]) if self.relu else None
            given = (one, two, three), _rows(out), self.edges, self.threads
            norms.combined(g, y, gated, *given)
            yield out


def _standardising(mean: Tensor, scale: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift: factor y + shift is standardised."""
    factor = _array(scale).reshape(*scale.shape[:2], -1)
    return factor, -_array(mean).reshape(factor.shape) * factor


def _per_channel(weights: Tensor, like: Tensor) -> np.ndarray:
    """(maps, targets, sources) to (maps, 1, R)."""
    each = _array(weights).reshape(len(weights), 1, -1)
    return np.repeat(each, like.shape[-1], axis=-1)


def _whole(values: np.ndarray, maps: Sequence[Tensor]) -> list[np.ndarray]:
    """For each map an array (N, R)."""
    samples = maps[0].shape[0]
    if values.shape[1] != samples:
        values = np.repeat(values, samples, axis=1)
    return list(np.ascontiguousarray(values))


def _edges(slope: Tensor, y: Tensor) -> Edges:
    if slope.dim() == y.dim():
        return Edges(y.shape[2:-1].numel(), 1, y.shape[-1])
    return Edges(*y.shape[2:])


def _rows(y: Tensor) -> np.ndarray:
    return _array(y).reshape(*y.shape[:2], -1)


def _array(values: Tensor) -> np.ndarray:
    values = values.detach()
    array: np.ndarray = (values if values.is_contiguous() else values.contiguous()).numpy()
    return array
