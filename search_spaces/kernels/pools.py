"""Poolings of 3x3 pixels, and their gradients. Maps are (N, H, W, R), of which borders are no part.

What is computed from them has every `stride`-th pixel, (N, ceil(H / stride), ceil(W / stride), R);
R is a multiple of the lanes.
"""

from __future__ import annotations

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads, kernel_part
from search_spaces.kernels.lanes import (
    WIDTH,
    filled,
    fused,
    load,
    plus,
    store,
    times,
    where_equal,
    where_larger,
    zeros,
)

KERNEL = 3


def maximum(x: np.ndarray, y: np.ndarray, taps: np.ndarray, stride: int, threads: int) -> None:
    """The largest to y, and to ``taps`` where it stands, 0 to 8, row by row.

    Of several largest, the first counts; one that is no number is larger than all.
    """
    size, flat = (*x.shape[1:], stride), (x.reshape(-1), y.reshape(-1), taps.reshape(-1))
    in_threads(_maximum, (*flat, size), [y, taps], len(y) * y.shape[1], threads)


def average(x: np.ndarray, y: np.ndarray, stride: int, threads: int) -> None:
    """The average of those that are not beyond the border, to y."""
    size, flat = (*x.shape[1:], stride), (x.reshape(-1), y.reshape(-1))
    in_threads(_average, (*flat, size), [y], len(y) * y.shape[1], threads)


def add_maximum_gradient(
    slope: np.ndarray, taps: np.ndarray, x: np.ndarray, stride: int, threads: int
) -> None:
    """Add to x what slopes of `maximum` give."""
    size, flat = (*x.shape[1:], stride), (slope.reshape(-1), taps.reshape(-1), x.reshape(-1))
    in_threads(_spread_maximum, (*flat, size), [x], len(x) * x.shape[1], threads)


def add_average_gradient(slope: np.ndarray, x: np.ndarray, stride: int, threads: int) -> None:
    """Add to x what slopes of `average` give."""
    size, flat = (*x.shape[1:], stride), (slope.reshape(-1), x.reshape(-1))
    in_threads(_spread_average, (*flat, size), [x], len(x) * x.shape[1], threads)


def compile_all() -> None:
    """Compile what is in here, for float32."""
    x, y, taps = np.zeros((3, 1, 1, 1, WIDTH), np.float32)
    maximum(x, y, taps, stride=1, threads=1)
    average(x, y, stride=1, threads=1)
    add_maximum_gradient(y, taps, x, stride=1, threads=1)
    add_average_gradient(y, x, stride=1, threads=1)


@kernel_part
def _inside(first, length):  # type: ignore[no-untyped-def]
    """Which of the pixels from ``first`` on are not beyond a border: from, to."""
    return max(0, -first), min(KERNEL, length - first)


@kernel_part
def _reached(pixel, stride, pooled, tap):  # type: ignore[no-untyped-def]
    """The pooled pixel to which this one is a tap, or -1."""
    ahead = pixel + 1 - tap
    found = ahead // stride
    return found if ahead % stride == 0 and 0 <= found < pooled else -1


@compiled
def _maximum(x, y, taps, size, begin, end):  # type: ignore[no-untyped-def]
    height, width, numbers, stride = size
    rows, columns = -(-height // stride), -(-width // stride)
    for task in range(begin, end):
        top = task % rows * stride - 1
        above = task // rows * height + top
        low, high = _inside(top, height)
        for column in range(columns):
            left = column * stride - 1
            near, far = _inside(left, width)
            for place in range(0, numbers, WIDTH):
                best = load(x, ((above + low) * width + left + near) * numbers + place)
                tap = filled(x, KERNEL * low + near)
                for i in range(low, high):
                    for j in range(near, far):
                        value = load(x, ((above + i) * width + left + j) * numbers + place)
                        tap = where_larger(value, best, filled(x, KERNEL * i + j), tap)
                        best = where_larger(value, best, value, best)
                at = (task * columns + column) * numbers + place
                store(y, at, best)
                store(taps, at, tap)


@compiled
def _average(x, y, size, begin, end):  # type: ignore[no-untyped-def]
    height, width, numbers, stride = size
    rows, columns = -(-height // stride), -(-width // stride)
    for task in range(begin, end):
        top = task % rows * stride - 1
        above = task // rows * height + top
        low, high = _inside(top, height)
        for column in range(columns):
            left = column * stride - 1
            near, far = _inside(left, width)
            share = filled(x, 1 / ((high - low) * (far - near)))
            for place in range(0, numbers, WIDTH):
                total = zeros(x)
                for i in range(low, high):
                    for j in range(near, far):
                        seen = ((above + i) * width + left + j) * numbers + place
                        total = plus(total, load(x, seen))
                store(y, (task * columns + column) * numbers + place, times(total, share))


@compiled
def _spread_maximum(slope, taps, x, size, begin, end):  # type: ignore[no-untyped-def]
    height, width, numbers, stride = size
    rows, columns = -(-height // stride), -(-width // stride)
    for task in range(begin, end):
        above, h = task // height * rows, task % height
        for w in range(width):
            for i in range(KERNEL):
                row = _reached(h, stride, rows, i)
                for j in range(KERNEL):
                    column = _reached(w, stride, columns, j)
                    if row < 0 or column < 0:
                        continue
                    tap = filled(x, KERNEL * i + j)
                    pooled = ((above + row) * columns + column) * numbers
                    for place in range(0, numbers, WIDTH):
                        at = (task * width + w) * numbers + place
                        own = load(slope, pooled + place)
                        own = where_equal(load(taps, pooled + place), tap, own)
                        store(x, at, plus(load(x, at), own))


@compiled
def _spread_average(slope, x, size, begin, end):  # type: ignore[no-untyped-def]
    height, width, numbers, stride = size
    rows, columns = -(-height // stride), -(-width // stride)
    for task in range(begin, end):
        above, h = task // height * rows, task % height
        for w in range(width):
            for i in range(KERNEL):
                row = _reached(h, stride, rows, i)
                low, high = _inside(row * stride - 1, height)
                for j in range(KERNEL):
                    column = _reached(w, stride, columns, j)
                    if row < 0 or column < 0:
                        continue
                    near, far = _inside(column * stride - 1, width)
                    share = filled(x, 1 / ((high - low) * (far - near)))
                    pooled = ((above + row) * columns + column) * numbers
                    for place in range(0, numbers, WIDTH):
                        at = (task * width + w) * numbers + place
                        store(x, at, fused(load(slope, pooled + place), share, load(x, at)))
