"""What norm layers do with maps (N, pixels, ..., C), by kernels.

Factors and shifts, which standardise maps, and other coefficients are (maps, N, ..., C).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.kernels import norms
from search_spaces.kernels.norms import Edges


def averages(maps: Sequence[Tensor]) -> Tensor:
    """Averages over pixels of maps, then of their squares, (2 * maps, N, ..., C)."""
    sums = [torch.from_numpy(norms.moments(_rows(y), torch.get_num_threads())) for y in maps]
    both = torch.stack(sums, dim=1).flatten(0, 1) / maps[0].shape[1]
    return both.view(len(both), len(maps[0]), *maps[0].shape[2:])


def standardised(maps: Sequence[Tensor], factor: Tensor, shift: Tensor, relu: bool) -> list[Tensor]:
    """factor y + shift of each map, or the ReLU of that."""
    results = []
    for y, *rows in zip(maps, _flat(factor, maps), _flat(shift, maps), strict=True):
        out = torch.empty_like(y, memory_format=torch.contiguous_format)
        norms.standardised(_rows(y), *rows, _rows(out), relu, torch.get_num_threads())
        results.append(out)
    return results


def averages_of_slopes(
    slopes: Sequence[Tensor], maps: Sequence[Tensor], factor: Tensor, shift: Tensor, relu: bool
) -> Tensor:
    """Averages over pixels of slopes and of their products with standardised maps.

    (2, maps, N, ..., C); slopes are as in `gradients`.
    """
    threads = torch.get_num_threads()
    sums = []
    rows = zip(slopes, maps, _flat(factor, maps), _flat(shift, maps), strict=True)
    for g, y, *standard in rows:
        two = norms.sums_of_slopes(_rows(g), _rows(y), *standard, _edges(g, y), relu, threads)
        sums.append(torch.from_numpy(two))
    both = torch.stack(sums, dim=1) / maps[0].shape[1]
    return both.view(2, len(maps), len(maps[0]), *maps[0].shape[2:])


def gradients(
    slopes: Sequence[Tensor],
    maps: Sequence[Tensor],
    standard: tuple[Tensor, Tensor],
    coefficients: tuple[Tensor, Tensor, Tensor],
    relu: bool,
) -> list[Tensor]:
    """a slope + b standardised map + c for each map.

    Args:
        slopes: (N, pixels, ..., C) as the maps, or (N, pixels, targets, C) for maps of several
            sources, (N, pixels, targets, sources, C).
        standard: factor and shift.
        coefficients: a, b and c.
        relu: the slopes are behind a ReLU of the standardised maps.
    """
    (factor, shift), (a, b, c) = standard, coefficients
    rows = [_flat(each, maps) for each in (factor, shift, a, b * factor, b * shift + c)]
    results = []
    for g, y, gate, offset, *each in zip(slopes, maps, *rows, strict=True):
        out = torch.empty_like(y, memory_format=torch.contiguous_format)
        norms.combined(
            _rows(g),
            _rows(y),
            (gate, offset) if relu else None,
            (each[0], each[1], each[2]),
            _rows(out),
            _edges(g, y),
            torch.get_num_threads(),
        )
        results.append(out)
    return results


def add_weighted(total: Tensor, maps: Sequence[Tensor], factor: Tensor) -> None:
    """Add to total (N, pixels, targets, C) the sums over sources of factor times each map."""
    for y, rows in zip(maps, _flat(factor, maps), strict=True):
        threads = torch.get_num_threads()
        norms.add_weighted(_rows(y), rows, _rows(total), _edges(total, y), threads)


def _edges(slope: Tensor, y: Tensor) -> Edges:
    if slope.dim() == y.dim():
        return Edges(slope[0, 0, ..., 0].numel(), 1, slope.shape[-1])
    return Edges(*y.shape[2:])


def _rows(y: Tensor) -> np.ndarray:
    array: np.ndarray = y.detach().contiguous().flatten(2).numpy()
    return array


def _flat(values: Tensor, maps: Sequence[Tensor]) -> list[np.ndarray]:
    """(maps, N or 1, ..., C or 1) as an array (N, R) for each map."""
    whole = values.expand(len(maps), len(maps[0]), *maps[0].shape[2:])
    return list(whole.detach().contiguous().flatten(2).numpy())
