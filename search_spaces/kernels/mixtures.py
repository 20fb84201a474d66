"""What targets get from the standardised maps of their edges, and slopes of that.

Maps are in blocks (maps, N, R / 16, pixels, 16) with R = targets * sources * C, see
`search_spaces.kernels.separable`; what the targets get has channels last, (N, pixels, targets * C).
"""

from __future__ import annotations

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads
from search_spaces.kernels.lanes import WIDTH, fused, load, plus, store, zeros
from search_spaces.kernels.norms import ONE, Edges
from search_spaces.kernels.rows import near

PIXELS = 256
"""Pixels of a target that stay in the nearest cache while all its edges are swept over."""


def mixture(
    y: np.ndarray, factor: np.ndarray, shift: np.ndarray, edges: Edges, threads: int
) -> np.ndarray:
    """Sums over maps and sources of factor y, plus shift, (N, pixels, targets * C).

    Args:
        y: the maps.
        factor: (maps, N, R).
        shift: (N, targets * C).
        edges: targets, sources and C.
        threads: to share the work.
    """
    maps, images, _, pixels, _ = y.shape
    numbers = edges.targets * edges.channels
    found = np.empty((images, pixels, numbers), y.dtype, like=y)
    flat = y.reshape(-1), factor.reshape(-1), shift.reshape(-1), found.reshape(-1)
    size, tasks = (maps, images, pixels), images * numbers // WIDTH
    in_threads(_mixture, (*flat, size, edges), [found], tasks, threads)
    return found


def sums_of_slopes(
    slope: np.ndarray,
    y: np.ndarray,
    standard: tuple[np.ndarray, np.ndarray],
    edges: Edges,
    threads: int,
) -> np.ndarray:
    """Sums over pixels of slopes, and of slopes times standardised maps, (2, maps, N, R).

    Args:
        slope: of what the targets get, (N, pixels, targets * C).
        y: the maps.
        standard: factor and shift, (maps, N, R): factor y + shift is standardised.
        edges: targets, sources and C.
        threads: to share the work.
    """
    maps, images, blocks, pixels, _ = y.shape
    sums = np.zeros((2, maps, images, blocks * WIDTH), y.dtype, like=y)
    flat = [each.reshape(-1) for each in (slope, y, *standard, sums)]
    size, tasks = (maps, images, pixels), images * slope.shape[2] // WIDTH
    in_threads(_sum_slopes, (*flat, size, edges), [sums], tasks, threads)
    return sums


def compile_all() -> None:
    """Compile what is in here, for float32."""
    y, rows = np.zeros((1, 1, 1, 1, WIDTH), np.float32), np.zeros((1, 1, WIDTH), np.float32)
    found = mixture(y, rows, rows[0], ONE, threads=1)
    sums_of_slopes(found, y, (rows, rows), ONE, threads=1)


@compiled
def _mixture(y, factor, shift, found, size, edges, begin, end):  # type: ignore[no-untyped-def]
    maps, images, pixels = size
    targets, sources, channels = edges
    numbers, blocks = targets * sources * channels, targets * channels // WIDTH
    sums = near(PIXELS * WIDTH, y)
    for task in range(begin, end):
        n, place = task // blocks, task % blocks * WIDTH
        own = place // channels * sources * channels + place % channels
        constant = load(shift, n * targets * channels + place)
        for first in range(0, pixels, PIXELS):
            count = min(PIXELS, pixels - first)
            for pixel in range(count):
                store(sums, pixel * WIDTH, constant)
            for each in range(maps):
                for source in range(sources):
                    row = (each * images + n) * numbers + own + source * channels
                    share, at = load(factor, row), row * pixels + first * WIDTH
                    for pixel in range(0, count * WIDTH, WIDTH):
                        store(sums, pixel, fused(load(y, at + pixel), share, load(sums, pixel)))
            at = (n * pixels + first) * targets * channels + place
            for pixel in range(count):
                store(found, at + pixel * targets * channels, load(sums, pixel * WIDTH))


@compiled
def _sum_slopes(slope, y, factor, shift, sums, size, edges, begin, end):  # type: ignore[no-untyped-def]
    maps, images, pixels = size
    targets, sources, channels = edges
    numbers, blocks = targets * sources * channels, targets * channels // WIDTH
    slopes = near(PIXELS * WIDTH, y)
    for task in range(begin, end):
        n, place = task // blocks, task % blocks * WIDTH
        own = place // channels * sources * channels + place % channels
        for first in range(0, pixels, PIXELS):
            count = min(PIXELS, pixels - first)
            at, whole = (n * pixels + first) * targets * channels + place, zeros(y)
            for pixel in range(count):
                g = load(slope, at + pixel * targets * channels)
                store(slopes, pixel * WIDTH, g)
                whole = plus(whole, g)
            for each in range(maps):
                for source in range(sources):
                    row = (each * images + n) * numbers + own + source * channels
                    a, b, at = load(factor, row), load(shift, row), row * pixels + first * WIDTH
                    along = zeros(y)
                    for pixel in range(0, count * WIDTH, WIDTH):
                        standard = fused(load(y, at + pixel), a, b)
                        along = fused(load(slopes, pixel), standard, along)
                    store(sums, row, plus(load(sums, row), whole))
                    row += maps * images * numbers
                    store(sums, row, plus(load(sums, row), along))
