"""What norm layers do with maps (maps, N, pixels, ..., C), by kernels.

In here, means, scales and other coefficients are rows: arrays (maps * N, R), R numbers of all edges
beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.arrays import array_of, image_of
from search_spaces.kernels import norms
from search_spaces.kernels.norms import Edges, Together
from search_spaces.kernels.tape import dense
from search_spaces.map_norm import Average, Statistics, Within

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""a, b and c, (N, R): a slope + b y + c is the gradient of y, behind which a norm layer stands."""


def sums(maps: Sequence[Tensor] | Tensor) -> Tensor:
    """Sums of maps and of their squares over pixels, (2, maps, N, ..., C)."""
    y = _together(maps)
    found = norms.moments(_samples(y), torch.get_num_threads())
    return torch.from_numpy(found.reshape(2, *y.shape[:2], *maps[0].shape[2:]))


def statistics(sums: Tensor, pixels: int, average: Within, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and scale, (maps, N, ..., C), from `sums`."""
    _, maps, samples, *shape = sums.shape
    together = Together(average.channels, samples if average.joined else 1)
    rows = array_of(sums).reshape(2, maps * samples, -1)
    found = norms.statistics(rows, pixels, together, eps)
    mean, scale = (torch.from_numpy(each.reshape(maps, samples, *shape)) for each in found)
    return mean, scale


def standardised(maps: Sequence[Tensor] | Tensor, given: Statistics, relu: bool) -> Tensor:
    """scale (y - mean) of each map, or the ReLU of that; (maps, N, pixels, ..., C)."""
    y = _together(maps)
    out = torch.empty(len(maps), *maps[0].shape, dtype=given.mean.dtype)
    flat = _samples(array_of(out).reshape(y.shape))
    rows = standard_rows(given, *y.shape[:2])
    norms.standardised(_samples(y), *rows, flat, relu, torch.get_num_threads())
    return out


def weighted(maps: Sequence[Tensor] | Tensor, given: Statistics, weights: Tensor) -> Tensor:
    """Sum over maps and sources of weights (maps, targets, sources) times standardised maps."""
    y, edges = _together(maps), Edges(*maps[0].shape[2:])
    factor, shift = (rows.reshape(*y.shape[:2], -1) for rows in standard_rows(given, *y.shape[:2]))
    each = per_channel(weights, edges)[:, np.newaxis]
    constant = (each * shift).sum(0).reshape(-1, 1, *edges).sum(3)
    shape = (*y.shape[1:3], edges.targets, edges.channels)
    total = torch.from_numpy(constant).expand(shape).contiguous()
    out = array_of(total).reshape(*y.shape[1:3], -1)
    norms.add_weighted(y, each * factor, out, edges, torch.get_num_threads())
    return total


class Slopes:
    """Gradients of standardised maps.

    Args:
        slopes: as the maps, or one (1, N, pixels, targets, C) for all maps of several sources,
            (maps, N, pixels, targets, sources, C).
        maps: (maps, N, pixels, ..., C).
        given: what they are standardised by.
        relu: the slopes are behind a ReLU of the standardised maps.
    """

    def __init__(
        self,
        slopes: Sequence[Tensor] | Tensor,
        maps: Sequence[Tensor] | Tensor,
        given: Statistics,
        relu: bool,
    ) -> None:
        self.shape, self.relu, self.given = maps[0].shape, relu, given
        self.slopes, self.y = _together(slopes), _together(maps)
        self.edges = _edges(slopes[0], maps[0])
        self.standard = standard_rows(given, *self.y.shape[:2])
        pair, threads = (_samples(self.slopes), _samples(self.y)), torch.get_num_threads()
        self.sums = norms.sums_of_slopes(*pair, *self.standard, self.edges, relu, threads)

    def to_weights(self) -> Tensor:
        """Gradient of weights, (maps, targets, sources)."""
        maps, samples = self.y.shape[:2]
        along = self.sums[1].reshape(maps, samples, -1).sum(1).reshape(maps, *self.edges)
        return torch.from_numpy(along.sum(-1))

    def to_maps(self, weights: Tensor | None = None) -> Iterator[Tensor]:
        """Gradients of the maps, one after the other.

        Args:
            weights: (maps, targets, sources) of the standardised maps, by default 1.
        """
        maps, samples = size = self.y.shape[:2]
        each = None if weights is None else per_channel(weights, self.edges)
        pixels = self.y.shape[2]
        found = rows_before(self.sums, self.given, each, (*size, pixels), self.shape[2:])
        gates = (part.reshape(maps, samples, -1) for part in self.standard)
        dtype, threads = torch.from_numpy(self.y).dtype, torch.get_num_threads()
        parts = zip(self.y, found, *gates, strict=True)
        for place, (y, rows, factor, shift) in enumerate(parts):
            gate = (factor, shift) if self.relu else None
            slope, out = self.slopes[place % len(self.slopes)], torch.empty(self.shape, dtype=dtype)
            norms.combined(
                slope, y, gate, rows, array_of(out).reshape(y.shape), self.edges, threads
            )
            yield out


def rows_before(
    sums: np.ndarray,
    given: Statistics,
    weights: np.ndarray | None,
    size: tuple[int, int, int],
    shape: torch.Size,
) -> list[Rows]:
    """What the gradient of each map is computed by.

    Args:
        sums: over pixels, of slopes and of slopes times standardised maps, of (2, maps, N, R).
        given: what the maps are standardised by.
        weights: of the standardised maps, (maps, R), by default 1.
        size: maps, N and pixels.
        shape: what the R numbers are, (..., C).
    """
    maps, samples, pixels = size
    flat = sums.reshape(2, maps * samples, -1)
    if weights is None:
        weights = np.ones((maps, flat.shape[2]), flat.dtype, like=flat)
    standard = standard_rows(given, maps, samples)
    found = coefficients(flat, standard, weights, given.average, (samples, pixels), shape)
    a, b, c = (part.reshape(maps, samples, -1) for part in found)
    return list(zip(a, b, c, strict=True))


def coefficients(
    sums: np.ndarray,
    standard: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    average: Average | None,
    size: tuple[int, int],
    shape: torch.Size,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows a, b and c: a slope + b y + c is the gradient of y, behind it a norm layer and weights.

    Args:
        sums: of slopes, and of slopes times standardised maps, over pixels, (2, maps * N, R).
        standard: rows factor and shift.
        weights: of standardised maps, (maps, R).
        average: what the norm layer averages over; None if it goes by constants.
        size: N and pixels.
        shape: what the R numbers are, (..., C).
    """
    samples, pixels = size
    if average is None:
        sums, together = np.zeros_like(sums), Together(1, 1)
    elif isinstance(average, Within):
        together = Together(average.channels, samples if average.joined else 1)
    else:
        sums, together = _averaged(average, sums / pixels, samples, shape), Together(1, 1)
        pixels = 1
    return norms.coefficients(sums, standard, weights, pixels, together)


def standard_rows(given: Statistics, maps: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift, (maps * N, R): factor y + shift is standardised."""
    scale, mean = (
        array_of(each.expand(maps, samples, *each.shape[2:])).reshape(maps * samples, -1)
        for each in (given.scale, given.mean)
    )
    return scale, -mean * scale


def _averaged(average: Average, rows: np.ndarray, samples: int, shape: torch.Size) -> np.ndarray:
    """What the norm layer makes of averages over pixels, (2, maps * N, R)."""
    values = torch.from_numpy(rows).view(-1, samples, *shape)
    return array_of(average(values).expand(values.shape).reshape(rows.shape))


def _together(maps: Sequence[Tensor] | Tensor) -> np.ndarray:
    """(maps, N, pixels, R); several maps that do not stand behind each other are copied."""
    if isinstance(maps, Tensor):
        return image_of(maps)
    arrays = [array_of(y).reshape(*y.shape[:2], -1) for y in maps]
    return arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)


def _samples(y: np.ndarray) -> np.ndarray:
    """(maps, N, pixels, R) to (maps * N, pixels, R)."""
    return y.reshape(-1, *y.shape[2:])


def per_channel(weights: Tensor, edges: Edges) -> np.ndarray:
    """(maps, targets, sources) to (maps, R)."""
    each = array_of(weights).reshape(len(weights), -1, 1)
    return dense(np.broadcast_to(each, (*each.shape[:2], edges.channels))).reshape(len(each), -1)


def _edges(slope: Tensor, y: Tensor) -> Edges:
    if slope.dim() == y.dim():
        return Edges(y.shape[2:-1].numel(), 1, y.shape[-1])
    return Edges(*y.shape[2:])
