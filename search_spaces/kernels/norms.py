"""Standardised maps, what follows them, and their gradients, each in one sweep over the maps.

Maps are (N, pixels, R): R numbers beside each other, those of all edges, a multiple of the lanes.
Per sample, each of the R has a factor and a shift, (N, R), that standardise it: factor y + shift.
What is behind them may be a sum over edges from several sources to one target: there, a slope has
fewer numbers than a map, (N, pixels, targets, C) for (N, pixels, targets, sources, C).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads, kernel_part
from search_spaces.kernels.lanes import (
    WIDTH,
    fused,
    load,
    plus,
    store,
    unless_negative,
    zeros,
)
from search_spaces.kernels.tape import call

CHUNK = 8192
"""Numbers that are swept over at once, as many as stay in the nearest cache."""


class Edges(NamedTuple):
    """What the R numbers beside each other are."""

    targets: int
    sources: int
    channels: int


ONE = Edges(1, 1, WIDTH)


class Together(NamedTuple):
    """What a norm layer averages over, beside pixels: some channels, and all samples or one."""

    channels: int
    samples: int


def moments(y: np.ndarray, threads: int) -> np.ndarray:
    """Sums of y and of y^2 over pixels, (2, N, R)."""
    parts, size = _parts(y)
    flat = y.reshape(-1), parts.reshape(-1)
    in_threads(_moments, (*flat, size), [parts], _tasks(size), threads)
    return _total(parts)


def statistics(
    sums: np.ndarray, pixels: int, together: Together, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale (N, R) from `moments`."""
    mean, scale = np.empty_like(sums)
    call(_statistics, (sums, mean, scale, pixels, together, eps), [mean, scale])
    return mean, scale


def coefficients(
    sums: np.ndarray,
    standard: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    pixels: int,
    together: Together,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows a, b and c, (N, R), by which `combined` gives gradients behind norm layers.

    Args:
        sums: of slopes, by `sums_of_slopes`.
        standard: factor and shift, (N, R).
        weights: of the standardised maps, (maps, R); the first of the N samples are of the first.
        pixels: of a map.
        together: what the norm layer averages over.
    """
    a, b, c = (np.empty_like(sums[0]) for _ in range(3))
    given = sums, *standard, weights, a, b, c, pixels, together
    call(_coefficients, given, [a, b, c])
    return a, b, c


def standardised(
    y: np.ndarray, factor: np.ndarray, shift: np.ndarray, out: np.ndarray, relu: bool, threads: int
) -> None:
    """out = factor y + shift, or the ReLU of that."""
    size = _size(y)
    flat = y.reshape(-1), factor.reshape(-1), shift.reshape(-1), out.reshape(-1)
    in_threads(_standardise, (*flat, size, relu), [out], _tasks(size), threads)


def sums_of_slopes(
    slope: np.ndarray,
    y: np.ndarray,
    factor: np.ndarray,
    shift: np.ndarray,
    edges: Edges,
    relu: bool,
    threads: int,
) -> np.ndarray:
    """Sums over pixels of the slope behind the ReLU, if any, and of it times factor y + shift.

    (2, N, R) from slopes (N, pixels, targets * C). If there are fewer slopes, the first maps have
    them, and the next ones again.
    """
    parts, size = _parts(y)
    flat = [each.reshape(-1) for each in (slope, y, factor, shift, parts)]
    given = len(slope)
    more = size, given, edges, relu
    in_threads(_sum_slopes, (*flat, *more), [parts], _tasks(size), threads)
    return _total(parts)


def combined(
    slope: np.ndarray,
    y: np.ndarray,
    gate: tuple[np.ndarray, np.ndarray] | None,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    out: np.ndarray,
    edges: Edges,
    threads: int,
) -> None:
    """out = a slope + b y + c with rows a, b and c, (N, R).

    With a gate (factor, shift), the slope is that before a ReLU of factor y + shift.
    """
    size = _size(y)
    gates = rows[:2] if gate is None else gate
    flat = [each.reshape(-1) for each in (slope, y, *gates, *rows, out)]
    relu = gate is not None
    in_threads(_combine, (*flat, size, edges, relu), [out], _tasks(size), threads)


def add_weighted(
    y: np.ndarray, factor: np.ndarray, total: np.ndarray, edges: Edges, threads: int
) -> None:
    """total (N, pixels, targets * C) += sum over maps and sources of factor y.

    y is (maps, N, pixels, R) and the factors are (maps, N, R).
    """
    size, maps = _size(y[0]), len(y)
    flat = y.reshape(-1), factor.reshape(-1), total.reshape(-1)
    in_threads(_add_weighted, (*flat, size, maps, edges), [total], _tasks(size), threads)


def _size(y: np.ndarray) -> tuple[int, int, int, int]:
    """Pixels, numbers, pixels of a chunk, and chunks of a sample."""
    samples, pixels, numbers = y.shape
    chunk = max(1, CHUNK // numbers)
    return pixels, numbers, chunk, -(-pixels // chunk) * samples


def _tasks(size: tuple[int, int, int, int]) -> int:
    return size[3]


def _parts(y: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    size = _size(y)
    return np.empty((2, y.shape[0], size[3] // y.shape[0], y.shape[2]), y.dtype, like=y), size


def _total(parts: np.ndarray) -> np.ndarray:
    total: np.ndarray = parts.sum(axis=2) if parts.shape[2] > 1 else parts[:, :, 0]
    return total


def compile_all() -> None:
    """Compile what is in here, for float32."""
    y, rows = np.zeros((1, 1, WIDTH), np.float32), np.zeros((1, WIDTH), np.float32)
    standard = statistics(moments(y, threads=1), 1, Together(1, 1), eps=1.0)
    standardised(y, *standard, y, relu=True, threads=1)
    sums = sums_of_slopes(y, y, *standard, ONE, relu=True, threads=1)
    found = coefficients(sums, standard, rows, 1, Together(1, 1))
    combined(y, y, None, found, y, ONE, threads=1)
    add_weighted(y[np.newaxis], rows, y, ONE, threads=1)


@compiled
def _moments(y, parts, size, begin, end):  # type: ignore[no-untyped-def]
    pixels, numbers, chunk, tasks = size
    chunks = -(-pixels // chunk)
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        last = min(first + chunk, pixels)
        for place in range(0, numbers, WIDTH):
            total, square = zeros(y), zeros(y)
            for pixel in range(first, last):
                seen = load(y, (n * pixels + pixel) * numbers + place)
                total = plus(total, seen)
                square = fused(seen, seen, square)
            at = task * numbers + place
            store(parts, at, total)
            store(parts, at + tasks * numbers, square)


@kernel_part
def _averaged(values, place, row, pixels, together):  # type: ignore[no-untyped-def]
    """The average that a sample and channel are part of."""
    channels, samples = together
    first_row, first = row - row % samples, place - place % channels
    total = 0.0
    for n in range(first_row, first_row + samples):
        for channel in range(first, first + channels):
            total += values[n, channel]
    return total / (channels * samples * pixels)


@compiled
def _statistics(sums, mean, scale, pixels, together, eps):  # type: ignore[no-untyped-def]
    channels, samples = together
    for row in range(mean.shape[0]):
        for place in range(mean.shape[1]):
            if row % samples:
                mean[row, place] = mean[row - 1, place]
                scale[row, place] = scale[row - 1, place]
            elif place % channels:
                mean[row, place] = mean[row, place - 1]
                scale[row, place] = scale[row, place - 1]
            else:
                average = _averaged(sums[0], place, row, pixels, together)
                square = _averaged(sums[1], place, row, pixels, together)
                variance = max(square - average * average, 0.0)
                mean[row, place] = average
                scale[row, place] = 1 / np.sqrt(variance + eps)


@compiled
def _coefficients(sums, factor, shift, weights, a, b, c, pixels, together):  # type: ignore[no-untyped-def]
    samples = len(a) // len(weights)
    constant, along = np.empty_like(a), np.empty_like(a)
    for row in range(a.shape[0]):
        for place in range(a.shape[1]):
            if row % together.samples:
                constant[row, place] = constant[row - 1, place]
                along[row, place] = along[row - 1, place]
            elif place % together.channels:
                constant[row, place] = constant[row, place - 1]
                along[row, place] = along[row, place - 1]
            else:
                constant[row, place] = _averaged(sums[0], place, row, pixels, together)
                along[row, place] = _averaged(sums[1], place, row, pixels, together)
            own = factor[row, place] * weights[row // samples, place]
            slope = -own * along[row, place]
            a[row, place] = own
            b[row, place] = slope * factor[row, place]
            c[row, place] = slope * shift[row, place] - own * constant[row, place]


@compiled
def _standardise(y, factor, shift, out, size, relu, begin, end):  # type: ignore[no-untyped-def]
    pixels, numbers, chunk, _ = size
    chunks = -(-pixels // chunk)
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        for place in range(0, numbers, WIDTH):
            a, b = load(factor, n * numbers + place), load(shift, n * numbers + place)
            for pixel in range(first, min(first + chunk, pixels)):
                at = (n * pixels + pixel) * numbers + place
                standard = fused(load(y, at), a, b)
                store(out, at, unless_negative(standard, standard) if relu else standard)


@compiled
def _sum_slopes(slope, y, factor, shift, parts, size, given, edges, relu, begin, end):  # type: ignore[no-untyped-def]
    pixels, numbers, chunk, tasks = size
    _, sources, channels = edges
    chunks = -(-pixels // chunk)
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        before = (n - n % given) * pixels
        for place in range(0, numbers, WIDTH):
            a, b = load(factor, n * numbers + place), load(shift, n * numbers + place)
            target = place // (sources * channels) * channels + place % channels
            total, along = zeros(y), zeros(y)
            for pixel in range(n * pixels + first, n * pixels + min(first + chunk, pixels)):
                standard = fused(load(y, pixel * numbers + place), a, b)
                g = load(slope, (pixel - before) * (numbers // sources) + target)
                if relu:
                    g = unless_negative(standard, g)
                total = plus(total, g)
                along = fused(g, standard, along)
            at = task * numbers + place
            store(parts, at, total)
            store(parts, at + tasks * numbers, along)


@compiled
def _combine(slope, y, factor, shift, a, b, c, out, size, edges, relu, begin, end):  # type: ignore[no-untyped-def]
    pixels, numbers, chunk, _ = size
    _, sources, channels = edges
    chunks = -(-pixels // chunk)
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        for place in range(0, numbers, WIDTH):
            row = n * numbers + place
            along, across, constant = load(a, row), load(b, row), load(c, row)
            scale, offset = load(factor, row), load(shift, row)
            target = place // (sources * channels) * channels + place % channels
            for pixel in range(n * pixels + first, n * pixels + min(first + chunk, pixels)):
                at = pixel * numbers + place
                seen = load(y, at)
                g = load(slope, pixel * (numbers // sources) + target)
                if relu:
                    g = unless_negative(fused(seen, scale, offset), g)
                store(out, at, fused(g, along, fused(seen, across, constant)))


@compiled
def _add_weighted(y, factor, total, size, maps, edges, begin, end):  # type: ignore[no-untyped-def]
    pixels, numbers, chunk, tasks = size
    targets, sources, channels = edges
    chunks = -(-pixels // chunk)
    samples = tasks // chunks
    for task in range(begin, end):
        n, first = task // chunks, task % chunks * chunk
        for pixel in range(n * pixels + first, n * pixels + min(first + chunk, pixels)):
            for target in range(0, targets * channels, WIDTH):
                place = target // channels * sources * channels + target % channels
                at = pixel * targets * channels + target
                held = load(total, at)
                for each in range(maps):
                    own = (each * samples * pixels + pixel) * numbers
                    row = (each * samples + n) * numbers
                    for source in range(place, place + sources * channels, channels):
                        held = fused(load(y, own + source), load(factor, row + source), held)
                store(total, at, held)
