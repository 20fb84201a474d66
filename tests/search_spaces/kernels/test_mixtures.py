"""Against the same sums in numpy, over edges that are written out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import mixtures
from search_spaces.kernels.lanes import WIDTH
from search_spaces.kernels.norms import Edges

IMAGES = 2

pytestmark = [
    pytest.mark.parametrize("edges", [Edges(1, 1, 16), Edges(2, 3, 16), Edges(2, 3, 32)]),
    pytest.mark.parametrize("pixels", [1, 7, 256, 700]),
    pytest.mark.parametrize("maps", [1, 3]),
]
in_threads = pytest.mark.parametrize("threads", [1, 3])


def _numbers(maps: int, pixels: int, edges: Edges) -> tuple[np.ndarray, ...]:
    """Maps, factor and shift of the edges, apart, and slopes."""
    noise = np.random.default_rng(0).standard_normal
    return (
        noise((maps, IMAGES, pixels, *edges)),
        *noise((2, maps, IMAGES, *edges)),
        noise((IMAGES, pixels, edges.targets, edges.channels)),
    )


def _in_blocks(y: np.ndarray) -> np.ndarray:
    """(maps, N, pixels, ...) to (maps, N, R / 16, pixels, 16)."""
    return np.ascontiguousarray(y.reshape(*y.shape[:3], -1, WIDTH).swapaxes(2, 3))


def _rows(each: np.ndarray, axes: int = 2) -> np.ndarray:
    return each.reshape(*each.shape[:axes], -1)


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-11)


@in_threads
def test_a_mixture_is_over_maps_and_sources(
    edges: Edges, pixels: int, maps: int, threads: int
) -> None:
    y, factor, _, slope = _numbers(maps, pixels, edges)
    shift = slope[:, 0]
    found = mixtures.mixture(_in_blocks(y), _rows(factor), _rows(shift, 1), edges, threads)
    expected = (y * factor[:, :, None]).sum((0, 4)) + shift[:, None]
    _same(found, _rows(expected))


@in_threads
def test_sums_of_slopes(edges: Edges, pixels: int, maps: int, threads: int) -> None:
    y, factor, shift, slope = _numbers(maps, pixels, edges)
    standard = y * factor[:, :, None] + shift[:, :, None]
    behind = np.broadcast_to(slope[:, :, :, None], y.shape)
    found = mixtures.sums_of_slopes(
        _rows(slope), _in_blocks(y), (_rows(factor), _rows(shift)), edges, threads
    )
    _same(found, _rows(np.stack([behind.sum(2), (behind * standard).sum(2)]), 3))


def test_threads_change_no_bit(edges: Edges, pixels: int, maps: int) -> None:
    y, factor, shift, slope = (each.astype(np.float32) for each in _numbers(maps, pixels, edges))
    standard = _rows(factor), _rows(shift)
    both = [
        (
            mixtures.mixture(_in_blocks(y), standard[0], _rows(slope[:, 0], 1), edges, threads),
            mixtures.sums_of_slopes(_rows(slope), _in_blocks(y), standard, edges, threads),
        )
        for threads in (1, 3)
    ]
    for one, other in zip(*both, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)


def test_what_is_no_number_stays_none(edges: Edges, pixels: int, maps: int) -> None:
    y, factor, shift, slope = _numbers(maps, pixels, edges)
    place = pixels // 2
    y[0, 0, place, 0, 0, 3] = np.nan
    standard = _rows(factor), _rows(shift)
    found = mixtures.mixture(_in_blocks(y), standard[0], _rows(slope[:, 0], 1), edges, 1)
    assert np.argwhere(np.isnan(found)).tolist() == [[0, place, 3]]
    sums = mixtures.sums_of_slopes(_rows(slope), _in_blocks(y), standard, edges, 1)
    assert np.argwhere(np.isnan(sums)).tolist() == [[1, 0, 0, 3]]
