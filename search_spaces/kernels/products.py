"""Products across channels of many maps beside each other, and the gradient of their weights.

Maps are (pixels, maps, C) with C a multiple of the lanes.
"""

from __future__ import annotations

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads
from search_spaces.kernels.lanes import WIDTH
from search_spaces.kernels.taps import loads, nothing, outer, stores

PIXELS = 64
"""Pixels whose channels stay in the nearest cache while all products of them are taken."""

SHARES = 8
"""Shares of the pixels whose weight gradients are summed apart, at most."""

TILE = 8


def multiplied(x: np.ndarray, weight: np.ndarray, y: np.ndarray, threads: int) -> None:
    """y (pixels, maps, out) from x (pixels, maps, in) and weights (maps, in, out)."""
    size = (*x.shape, y.shape[2])
    flat = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    in_threads(_multiply, (*flat, size), -(-len(x) // PIXELS), threads)


def weight_gradient(x: np.ndarray, slope: np.ndarray, threads: int) -> np.ndarray:
    """(pixels, maps, in) and (pixels, maps, out) to (maps, in, out)."""
    shares = max(1, min(SHARES, len(x) // (4 * PIXELS)))
    parts = np.zeros((shares, x.shape[1], x.shape[2], slope.shape[2]), x.dtype, like=x)
    size = (*x.shape, slope.shape[2])
    flat = x.reshape(-1), slope.reshape(-1), parts.reshape(-1)
    in_threads(_correlate, (*flat, size, shares), shares, threads)
    total: np.ndarray = parts.sum(axis=0) if shares > 1 else parts[0]
    return total


def compile_all() -> None:
    """Compile what is in here, for float32."""
    maps = np.zeros((1, 1, WIDTH), np.float32)
    multiplied(maps, weight_gradient(maps, maps, threads=1), maps, threads=1)


@compiled
def _multiply(x, weight, y, size, begin, end):  # type: ignore[no-untyped-def]
    pixels, maps, ins, outs = size
    x_step, y_step = maps * ins, maps * outs
    for task in range(begin, end):
        first = task * PIXELS
        last = min(first + PIXELS, pixels)
        whole = first + (last - first) // TILE * TILE
        for place in range(0, y_step, WIDTH):
            m = place // outs
            row = m * ins * outs + place % outs
            for pixel in range(first, whole, TILE):
                sums = nothing(TILE, y)
                at = pixel * x_step + m * ins
                for i in range(ins):
                    sums = outer(sums, x, at + i, x_step, weight, row + i * outs)
                stores(y, pixel * y_step + place, y_step, sums)
            for pixel in range(whole, last):
                one = nothing(1, y)
                at = pixel * x_step + m * ins
                for i in range(ins):
                    one = outer(one, x, at + i, 0, weight, row + i * outs)
                stores(y, pixel * y_step + place, 0, one)


@compiled
def _correlate(x, slope, parts, size, shares, begin, end):  # type: ignore[no-untyped-def]
    pixels, maps, ins, outs = size
    x_step, y_step = maps * ins, maps * outs
    for task in range(begin, end):
        own = task * maps * ins * outs
        stop = pixels * (task + 1) // shares
        for first in range(pixels * task // shares, stop, PIXELS):
            last = min(first + PIXELS, stop)
            for place in range(0, y_step, WIDTH):
                m = place // outs
                row = own + m * ins * outs + place % outs
                for i in range(0, ins, TILE):
                    sums = loads(TILE, parts, row + i * outs, outs)
                    for pixel in range(first, last):
                        at = pixel * x_step + m * ins + i
                        sums = outer(sums, x, at, 1, slope, pixel * y_step + place)
                    stores(parts, row + i * outs, outs, sums)
