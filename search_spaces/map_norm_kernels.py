"""What norm layers do with maps (maps, N, pixels, ..., C), by kernels.

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
    maps: Sequence[Tensor] | Tensor, channels: int, joined: bool, eps: float
) -> tuple[Tensor, Tensor]:
    """Mean and scale over pixels, groups of so many channels and, if joined, samples."""
    y = _together(maps)
    sums = norms.moments(_samples(y), torch.get_num_threads()).reshape(2, *y.shape[:2], -1)
    mean, square = averaged(sums / y.shape[2], channels, joined)
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


def standardised(
    maps: Sequence[Tensor] | Tensor, mean: Tensor, scale: Tensor, relu: bool
) -> Tensor:
    """scale (y - mean) of each map, or the ReLU of that; (maps, N, pixels, ..., C)."""
    y = _together(maps)
    factor, shift = (_rows(each, y) for each in _standardising(mean, scale))
    out = torch.empty(len(maps), *maps[0].shape, dtype=mean.dtype)
    flat = _samples(out.numpy().reshape(y.shape))
    norms.standardised(_samples(y), factor, shift, flat, relu, torch.get_num_threads())
    return out


def weighted(
    maps: Sequence[Tensor] | Tensor, mean: Tensor, scale: Tensor, weights: Tensor
) -> Tensor:
    """Sum over maps and sources of weights (maps, targets, sources) times standardised maps."""
    y, edges = _together(maps), Edges(*maps[0].shape[2:])
    own, shift = _standardising(mean, scale)
    each = _per_channel(weights, edges)
    targets, sources, channels = edges
    constant = (each * shift).sum(0).reshape(-1, 1, targets, sources, channels).sum(3)
    total = torch.from_numpy(constant).expand(*y.shape[1:3], targets, channels).contiguous()
    out = total.numpy().reshape(*y.shape[1:3], -1)
    norms.add_weighted(y, _rows(each * own, y), out, edges, torch.get_num_threads())
    return total


class Slopes:
    """Gradients of standardised maps.

    Args:
        slopes: as the maps, or one (1, N, pixels, targets, C) for all maps of several sources,
            (maps, N, pixels, targets, sources, C).
        maps: (maps, N, pixels, ..., C).
        mean, scale: by which they are standardised.
        relu: the slopes are behind a ReLU of the standardised maps.

    Attributes:
        averages: over pixels, of slopes and of their products with standardised maps,
            (2, maps, N, R).
    """

    def __init__(
        self,
        slopes: Sequence[Tensor] | Tensor,
        maps: Sequence[Tensor] | Tensor,
        mean: Tensor,
        scale: Tensor,
        relu: bool,
    ) -> None:
        self.shape, self.relu = maps[0].shape, relu
        self.slopes, self.y = _together(slopes), _together(maps)
        self.edges = _edges(slopes[0], maps[0])
        self.standard = _standardising(mean, scale)
        factor, shift = (_rows(each, self.y) for each in self.standard)
        pair, threads = (_samples(self.slopes), _samples(self.y)), torch.get_num_threads()
        sums = norms.sums_of_slopes(*pair, factor, shift, self.edges, relu, threads)
        self.averages = sums.reshape(2, *self.y.shape[:2], -1) / self.y.shape[2]

    def to_weights(self) -> Tensor:
        """Gradient of weights, (maps, targets, sources)."""
        along = self.averages[1].sum(1).reshape(len(self.y), *self.edges)
        return torch.from_numpy(along.sum(-1) * self.y.shape[2])

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
        a = factor if weights is None else factor * _per_channel(weights, self.edges)
        b = c = np.zeros_like(a)
        if averages is not None:
            slope = -a * averages[1]
            b, c = slope * factor, slope * shift - a * averages[0]
        rows = [
            _rows(each, self.y).reshape(*self.y.shape[:2], -1) for each in (*self.standard, a, b, c)
        ]
        for place, y in enumerate(self.y):
            gate_factor, gate_shift, *own = (each[place] for each in rows)
            gate = (gate_factor, gate_shift) if self.relu else None
            out = torch.empty(self.shape, dtype=torch.from_numpy(y).dtype)
            flat, threads = out.numpy().reshape(y.shape), torch.get_num_threads()
            one, two, three = own
            slope = self.slopes[place % len(self.slopes)]
            norms.combined(slope, y, gate, (one, two, three), flat, self.edges, threads)
            yield out


def _together(maps: Sequence[Tensor] | Tensor) -> np.ndarray:
    """(maps, N, pixels, R); several maps that do not stand behind each other are copied."""
    if isinstance(maps, Tensor):
        return _array(maps).reshape(*maps.shape[:3], -1)
    arrays = [_array(y).reshape(*y.shape[:2], -1) for y in maps]
    return arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)


def _samples(y: np.ndarray) -> np.ndarray:
    """(maps, N, pixels, R) to (maps * N, pixels, R)."""
    return y.reshape(-1, *y.shape[2:])


def _standardising(mean: Tensor, scale: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift: factor y + shift is standardised."""
    factor = _array(scale).reshape(*scale.shape[:2], -1)
    return factor, -_array(mean).reshape(factor.shape) * factor


def _per_channel(weights: Tensor, edges: Edges) -> np.ndarray:
    """(maps, targets, sources) to (maps, 1, R)."""
    each = _array(weights).reshape(len(weights), 1, -1)
    return np.repeat(each, edges.channels, axis=-1)


def _rows(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(maps, N or 1, R) to (maps * N, R), as of maps (maps, N, pixels, R)."""
    if values.shape[1] != y.shape[1]:
        values = np.repeat(values, y.shape[1], axis=1)
    return np.ascontiguousarray(values).reshape(-1, values.shape[2])


def _edges(slope: Tensor, y: Tensor) -> Edges:
    if slope.dim() == y.dim():
        return Edges(y.shape[2:-1].numel(), 1, y.shape[-1])
    return Edges(*y.shape[2:])


def _array(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().contiguous().numpy()
    return array
