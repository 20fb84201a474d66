"""Convolutions within channels, of maps that are read by several targets each, and their gradients.

A source's map (N, H, W, C) is convolved by the kernels of each target, to (N, H', W', targets, C),
without being repeated. Kernels are (k, k, targets, C); C is a multiple of the lanes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads
from search_spaces.kernels.lanes import WIDTH, fused, load, store, zeros
from search_spaces.kernels.taps import PIXELS, many, products_with_columns, sums_of_columns

CHUNKS = 4
"""Shares of an image at most, whose weight gradients are summed apart."""


class Form(NamedTuple):
    """Square kernel, odd, padded so that stride 1 keeps the size."""

    kernel: int
    stride: int
    dilation: int


class Size(NamedTuple):
    """Of the maps of the sources, and how many targets read each."""

    images: int
    height: int
    width: int
    channels: int
    targets: int


def convolve(x: np.ndarray, weight: np.ndarray, y: np.ndarray, form: Form, threads: int) -> None:
    """y (N, ceil(H / stride), ceil(W / stride), targets, C) from x (N, H, W, C) and a kernel."""
    size = Size(*x.shape, weight.shape[2])
    flat = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    run = _convolution(*form)
    tasks = size.images * y.shape[1]
    in_threads(lambda a, b: run(*flat, size, False, False, a, b), tasks, threads)


def add_input_gradient(
    slope: np.ndarray, weight: np.ndarray, x: np.ndarray, form: Form, threads: int
) -> None:
    """Add to x (N, H, W, C) what slopes (N, H', W', targets, C) give, summed over the targets."""
    size = Size(*x.shape, weight.shape[2])
    tasks = size.images * size.height
    if form.stride == 1:
        turned = np.ascontiguousarray(weight[::-1, ::-1])
        flat = slope.reshape(-1), turned.reshape(-1), x.reshape(-1)
        run = _convolution(*form)
        in_threads(lambda a, b: run(*flat, size, True, True, a, b), tasks, threads)
    else:
        flat = slope.reshape(-1), weight.reshape(-1), x.reshape(-1)
        in_threads(lambda a, b: _spread(*flat, size, form, a, b), tasks, threads)


def weight_gradient(x: np.ndarray, slope: np.ndarray, form: Form, threads: int) -> np.ndarray:
    """(N, H, W, C) and (N, H', W', targets, C) to (k, k, targets, C)."""
    size = Size(*x.shape, slope.shape[3])
    chunks = max(1, min(CHUNKS, slope.shape[1] // 8))
    shape = (size.images * chunks, form.kernel, form.kernel, size.targets, size.channels)
    parts = np.zeros(shape, x.dtype)
    flat = x.reshape(-1), slope.reshape(-1), parts.reshape(-1)
    run = _weight_gradient(*form)
    in_threads(lambda a, b: run(*flat, size, chunks, a, b), len(parts), threads)
    total: np.ndarray = parts.sum(axis=0)
    return total


@cache
def _convolution(kernel: int, stride: int, dilation: int) -> Any:
    advance = sums_of_columns(kernel, stride, dilation)
    nothing, loads, stores = many(PIXELS)
    reach = dilation * (kernel - 1)
    padding = reach // 2

    @compiled
    def run(x, weight, y, size, gathers, adds, begin, end):  # type: ignore[no-untyped-def]
        _, height, width, channels, targets = size
        rows, columns = -(-height // stride), -(-width // stride)
        left = min(-(-padding // stride), columns)
        whole = max(0, (width - 1 + padding - reach) // stride + 1 - left) // PIXELS * PIXELS
        apart = targets * channels
        x_step = apart if gathers else channels
        y_step = channels if gathers else apart
        for task in range(begin, end):
            n, row = task // rows, task % rows
            top = row * stride - padding
            low = max(0, -(top // dilation))
            high = min(kernel, (height - 1 - top) // dilation + 1)
            for place in range(0, apart, WIDTH):
                x_place = place if gathers else place % channels
                y_place = task * columns * y_step + (place % channels if gathers else place)
                again = adds or (gathers and place >= channels)
                for column in range(left, left + whole, PIXELS):
                    at = y_place + column * y_step
                    sums = loads(y, at, y_step) if again else nothing(y)
                    for i in range(low, high):
                        pixel = (n * height + top + i * dilation) * width + column * stride
                        first = (pixel - padding) * x_step + x_place
                        tap = i * kernel * apart + place
                        sums = advance(sums, x, first, x_step, weight, tap, apart)
                    stores(y, at, y_step, sums)
                for column in range(columns - whole):
                    if column >= left:
                        column += whole
                    at = y_place + column * y_step
                    first = column * stride - padding
                    total = load(y, at) if again else zeros(y)
                    for i in range(low, high):
                        line = (n * height + top + i * dilation) * width
                        for j in range(
                            max(0, -(first // dilation)),
                            min(kernel, (width - 1 - first) // dilation + 1),
                        ):
                            seen = load(x, (line + first + j * dilation) * x_step + x_place)
                            tap = load(weight, (i * kernel + j) * apart + place)
                            total = fused(seen, tap, total)
                    store(y, at, total)

    return run


@compiled
def _spread(slope, weight, x, size, form, begin, end):  # type: ignore[no-untyped-def]
    """Input gradient with a stride: to each pixel from every stride-th tap."""
    _, height, width, channels, targets = size
    kernel, stride, _ = form
    padding = (kernel - 1) // 2
    rows, columns = -(-height // stride), -(-width // stride)
    apart = targets * channels
    for task in range(begin, end):
        n, h = task // height, task % height
        for w in range(width):
            for block in range(0, channels, WIDTH):
                total = load(x, (task * width + w) * channels + block)
                for i in range((h + padding) % stride, kernel, stride):
                    row = (h + padding - i) // stride
                    if row < 0 or row >= rows:
                        continue
                    for j in range((w + padding) % stride, kernel, stride):
                        column = (w + padding - j) // stride
                        if column < 0 or column >= columns:
                            continue
                        at = ((n * rows + row) * columns + column) * apart + block
                        tap = (i * kernel + j) * apart + block
                        for t in range(0, apart, channels):
                            total = fused(load(slope, at + t), load(weight, tap + t), total)
                store(x, (task * width + w) * channels + block, total)


@cache
def _weight_gradient(kernel: int, stride: int, dilation: int) -> Any:
    advance = products_with_columns(kernel, stride, dilation)
    _, loads, stores = many(kernel)
    reach = dilation * (kernel - 1)
    padding = reach // 2

    @compiled
    def run(x, slope, parts, size, chunks, begin, end):  # type: ignore[no-untyped-def]
        _, height, width, channels, targets = size
        rows, columns = -(-height // stride), -(-width // stride)
        left = min(-(-padding // stride), columns)
        whole = max(0, (width - 1 + padding - reach) // stride + 1 - left) // PIXELS * PIXELS
        apart = targets * channels
        for task in range(begin, end):
            n, chunk = task // chunks, task % chunks
            own = task * kernel * kernel * apart
            for row in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
                top = row * stride - padding
                low = max(0, -(top // dilation))
                high = min(kernel, (height - 1 - top) // dilation + 1)
                for place in range(0, apart, WIDTH):
                    x_place = place % channels
                    line = (n * rows + row) * columns * apart + place
                    for i in range(low, high):
                        above = (n * height + top + i * dilation) * width
                        tap = own + i * kernel * apart + place
                        sums = loads(parts, tap, apart)
                        for column in range(left, left + whole, PIXELS):
                            first = (above + column * stride - padding) * channels + x_place
                            at = line + column * apart
                            sums = advance(sums, x, first, channels, slope, at, apart)
                        stores(parts, tap, apart, sums)
                        for column in range(columns - whole):
                            if column >= left:
                                column += whole
                            first = column * stride - padding
                            g = load(slope, line + column * apart)
                            for j in range(
                                max(0, -(first // dilation)),
                                min(kernel, (width - 1 - first) // dilation + 1),
                            ):
                                pixel = above + first + j * dilation
                                seen = load(x, pixel * channels + x_place)
                                at = tap + j * apart
                                store(parts, at, fused(seen, g, load(parts, at)))

    return run
