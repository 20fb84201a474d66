"""Standardised maps that every target sums with weights of its own, and their gradients.

Maps are (maps, N, pixels, S), S = sources * C numbers beside each other, and what the targets get
is (N, pixels, T), T = targets * C. Factors, one for each number that a target takes from a map, are
(maps, N, targets * S).
"""

from __future__ import annotations

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads
from search_spaces.kernels.lanes import WIDTH, fused, load, store, zeros
from search_spaces.kernels.norms import CHUNK, ONE, Edges


def add_weighted(
    y: np.ndarray, factor: np.ndarray, total: np.ndarray, edges: Edges, threads: int
) -> None:
    """total += sum over maps and sources of factor y."""
    size, tasks = _size(y)
    flat = y.reshape(-1), factor.reshape(-1), total.reshape(-1)
    in_threads(_add_weighted, (*flat, size, edges), [total], tasks, threads)


def sums_of_slopes(
    slope: np.ndarray,
    y: np.ndarray,
    standard: tuple[np.ndarray, np.ndarray],
    edges: Edges,
    threads: int,
) -> np.ndarray:
    """Sums over pixels of slopes times standardised maps, (maps, N, targets * S).

    Args:
        slope: (N, pixels, T).
        y: the maps.
        standard: factor and shift, (maps, N, S): factor y + shift is standardised.
        edges: targets, sources and C.
        threads: to share the work.
    """
    size, tasks = _size(y)
    parts = np.empty((tasks, len(y), edges.targets * y.shape[3]), y.dtype, like=y)
    flat = [each.reshape(-1) for each in (slope, y, *standard, parts)]
    in_threads(_sum_slopes, (*flat, size, edges), [parts], tasks, threads)
    total: np.ndarray = parts.reshape(y.shape[1], -1, *parts.shape[1:]).sum(1).swapaxes(0, 1)
    return total


def combined(
    slope: np.ndarray,
    y: np.ndarray,
    factor: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    out: np.ndarray,
    edges: Edges,
    threads: int,
) -> None:
    """out = b y + c + sum over targets of factor slope, with rows b and c, (maps, N, S)."""
    size, tasks = _size(y)
    flat = [each.reshape(-1) for each in (slope, y, factor, *rows, out)]
    in_threads(_combine, (*flat, size, edges), [out], tasks, threads)


Size = tuple[int, int, int, int, int]
"""Maps, N, pixels, S, and pixels of a chunk."""


def _size(y: np.ndarray) -> tuple[Size, int]:
    """The size, and how many chunks there are of all samples."""
    maps, samples, pixels, numbers = y.shape
    chunk = max(1, CHUNK // numbers)
    return (maps, samples, pixels, numbers, chunk), -(-pixels // chunk) * samples


def compile_all() -> None:
    """Compile what is in here, for float32."""
    y, rows = np.zeros((1, 1, 1, WIDTH), np.float32), np.zeros((1, 1, WIDTH), np.float32)
    add_weighted(y, rows, y[0], ONE, threads=1)
    sums_of_slopes(y[0], y, (rows, rows), ONE, threads=1)
    combined(y[0], y, rows, (rows, rows), y, ONE, threads=1)


@compiled
def _add_weighted(y, factor, total, size, edges, begin, end):  # type: ignore[no-untyped-def]
    maps, samples, pixels, numbers, chunk = size
    targets, _, channels = edges
    chunks = -(-pixels // chunk)
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        for pixel in range(first, min(first + chunk, pixels)):
            for target in range(0, targets * channels, WIDTH):
                own = target // channels * numbers
                at = (n * pixels + pixel) * targets * channels + target
                held = load(total, at)
                for each in range(maps):
                    sample = each * samples + n
                    for place in range(target % channels, numbers, channels):
                        seen = load(y, (sample * pixels + pixel) * numbers + place)
                        share = load(factor, sample * targets * numbers + own + place)
                        held = fused(seen, share, held)
                store(total, at, held)


@compiled
def _sum_slopes(slope, y, factor, shift, parts, size, edges, begin, end):  # type: ignore[no-untyped-def]
    maps, samples, pixels, numbers, chunk = size
    targets, _, channels = edges
    chunks = -(-pixels // chunk)
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        for each in range(maps):
            sample = each * samples + n
            for place in range(0, targets * numbers, WIDTH):
                source = place % numbers
                target = place // numbers * channels + source % channels
                a, b = (
                    load(factor, sample * numbers + source),
                    load(shift, sample * numbers + source),
                )
                along = zeros(y)
                for pixel in range(first, min(first + chunk, pixels)):
                    seen = load(y, (sample * pixels + pixel) * numbers + source)
                    g = load(slope, (n * pixels + pixel) * targets * channels + target)
                    along = fused(g, fused(seen, a, b), along)
                store(parts, (task * maps + each) * targets * numbers + place, along)


@compiled
def _combine(slope, y, factor, b, c, out, size, edges, begin, end):  # type: ignore[no-untyped-def]
    maps, samples, pixels, numbers, chunk = size
    targets, _, channels = edges
    chunks = -(-pixels // chunk)
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        for each in range(maps):
            sample = each * samples + n
            for place in range(0, numbers, WIDTH):
                across, constant = (
                    load(b, sample * numbers + place),
                    load(c, sample * numbers + place),
                )
                for pixel in range(first, min(first + chunk, pixels)):
                    at = (sample * pixels + pixel) * numbers + place
                    total = fused(load(y, at), across, constant)
                    row = (n * pixels + pixel) * targets * channels + place % channels
                    for target in range(targets):
                        share = load(factor, (sample * targets + target) * numbers + place)
                        total = fused(load(slope, row + target * channels), share, total)
                    store(out, at, total)
