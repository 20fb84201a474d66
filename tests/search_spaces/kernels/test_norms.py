"""Against the same sums in numpy, over edges that are written out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import norms
from search_spaces.kernels.norms import Edges

N = 2
EDGES = [Edges(3, 2, 16), Edges(1, 1, 16), Edges(2, 1, 32)]

pytestmark = [
    pytest.mark.parametrize("edges", EDGES),
    pytest.mark.parametrize("pixels", [1, 5, 700]),
]


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape)


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-11)


def _per_edge(slope: np.ndarray, edges: Edges) -> np.ndarray:
    """(N, pixels, targets * C) as of all sources, (N, pixels, R)."""
    apart = slope.reshape(*slope.shape[:2], edges.targets, 1, edges.channels)
    whole = np.broadcast_to(apart, (*slope.shape[:2], *edges))
    return whole.reshape(*slope.shape[:2], -1)


def test_moments(edges: Edges, pixels: int) -> None:
    y = _noise(N, pixels, int(np.prod(edges)))
    total, square = norms.moments(y, 2)
    _same(total, y.sum(1))
    _same(square, (y * y).sum(1))


@pytest.mark.parametrize("relu", [True, False])
def test_standardised(edges: Edges, pixels: int, relu: bool) -> None:
    numbers = int(np.prod(edges))
    y, (factor, shift) = _noise(N, pixels, numbers), _noise(2, N, numbers)
    out = np.full_like(y, np.nan)
    norms.standardised(y, factor, shift, out, relu, 2)
    expected = y * factor[:, None] + shift[:, None]
    _same(out, np.maximum(expected, 0) if relu else expected)


@pytest.mark.parametrize("relu", [True, False])
def test_sums_of_slopes_and_gradients(edges: Edges, pixels: int, relu: bool) -> None:
    numbers = int(np.prod(edges))
    y, rows = _noise(N, pixels, numbers), _noise(5, N, numbers)
    factor, shift, a, b, c = rows
    slope = _noise(N, pixels, edges.targets * edges.channels)
    standard = y * factor[:, None] + shift[:, None]
    behind = _per_edge(slope, edges)
    if relu:
        behind = np.where(standard > 0, behind, 0)
    total, along = norms.sums_of_slopes(slope, y, factor, shift, edges, relu, 2)
    _same(total, behind.sum(1))
    _same(along, (behind * standard).sum(1))
    again = norms.sums_of_slopes(slope[:1], y, factor, shift, edges, relu, 2)
    one = np.repeat(behind[:1] if not relu else _per_edge(slope[:1], edges), N, axis=0)
    one = np.where(standard > 0, one, 0) if relu else one
    _same(again[0], one.sum(1))
    out = np.full_like(y, np.nan)
    gate = (factor, shift) if relu else None
    norms.combined(slope, y, gate, (a, b, c), out, edges, 2)
    _same(out, behind * a[:, None] + y * b[:, None] + c[:, None])


def test_add_weighted(edges: Edges, pixels: int) -> None:
    numbers = int(np.prod(edges))
    y, factor = _noise(3, N, pixels, numbers), _noise(3, N, numbers)
    total = np.ones((N, pixels, edges.targets * edges.channels))
    norms.add_weighted(y, factor, total, edges, 2)
    expected = (y * factor[:, :, None]).sum(0).reshape(N, pixels, *edges).sum(3)
    _same(total, 1 + expected.reshape(total.shape))


def test_what_is_no_number_stays_none(edges: Edges, pixels: int) -> None:
    numbers = int(np.prod(edges))
    y, rows = _noise(N, pixels, numbers), _noise(2, N, numbers)
    y[0, 0, 3] = np.nan
    out = np.empty_like(y)
    norms.standardised(y, *rows, out, True, 1)
    assert np.argwhere(np.isnan(out)).tolist() == [[0, 0, 3]]
