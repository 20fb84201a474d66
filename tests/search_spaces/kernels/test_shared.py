"""Against the same sums written by index."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import shared
from search_spaces.kernels.norms import Edges

MAPS, N = 2, 3

pytestmark = [
    pytest.mark.parametrize("edges", [Edges(3, 2, 16), Edges(1, 1, 16), Edges(2, 1, 32)]),
    pytest.mark.parametrize("pixels", [1, 5, 700]),
]


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape)


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-12, atol=1e-11)


def _maps(edges: Edges, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps, a factor and a shift for each of their numbers."""
    numbers = edges.sources * edges.channels
    rows = _noise(2, MAPS, N, numbers)
    return _noise(MAPS, N, pixels, numbers), rows[0].copy(), rows[1].copy()


def _apart(y: np.ndarray, edges: Edges) -> np.ndarray:
    """Sources and channels apart."""
    return y.reshape(*y.shape[:-1], -1, edges.sources, edges.channels)


def test_sum_over_maps_and_sources(edges: Edges, pixels: int) -> None:
    y, *_ = _maps(edges, pixels)
    factor = _noise(MAPS, N, edges.targets * y.shape[3])
    total = np.ones((N, pixels, edges.targets * edges.channels))
    shared.add_weighted(y, factor, total, edges, 2)
    each = np.einsum("mnposc,mntsc->nptc", _apart(y, edges), _apart(factor, edges))
    _same(total, 1 + each)


def test_sums_of_slopes(edges: Edges, pixels: int) -> None:
    y, factor, shift = _maps(edges, pixels)
    slope = _noise(N, pixels, edges.targets * edges.channels)
    found = shared.sums_of_slopes(slope, y, (factor, shift), edges, 2)
    standard = _apart(factor[:, :, None] * y + shift[:, :, None], edges)[:, :, :, 0]
    g = slope.reshape(N, pixels, edges.targets, edges.channels)
    _same(found, np.einsum("nptc,mnpsc->mntsc", g, standard))


def test_gradient_of_the_maps(edges: Edges, pixels: int) -> None:
    y, b, c = _maps(edges, pixels)
    slope = _noise(N, pixels, edges.targets * edges.channels)
    factor, out = _noise(MAPS, N, edges.targets * y.shape[3]), np.empty_like(y)
    shared.combined(slope, y, factor, (b, c), out, edges, 2)
    g = slope.reshape(N, pixels, edges.targets, edges.channels)
    through = np.einsum("nptc,mntsc->mnpsc", g, _apart(factor, edges))
    _same(out, through.reshape(y.shape) + b[:, :, None] * y + c[:, :, None])
