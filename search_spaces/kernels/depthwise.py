"""Convolutions within channels, of maps that are read by several targets each, and their gradients.

A source's map (N, H, W, C) is convolved by the kernels of each target, to (N, H', W', targets, C),
without being repeated. Kernels are (k, k, targets, C); C is a multiple of the lanes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads, named
from search_spaces.kernels.lanes import WIDTH, fused, load, plus, store, zeros
from search_spaces.kernels.tape import dense
from search_spaces.kernels.taps import (
    PIXELS,
    loads,
    nothing,
    products_with_columns,
    stores,
    sums_of_columns,
)

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


FORMS = (Form(3, 1, 1), Form(5, 1, 1), Form(3, 2, 1), Form(5, 2, 1), Form(3, 1, 2), Form(5, 1, 2))
"""Those that cells are made of: each is compiled for itself."""


def convolve(x: np.ndarray, weight: np.ndarray, y: np.ndarray, form: Form, threads: int) -> None:
    """y (N, ceil(H / stride), ceil(W / stride), targets, C) from x (N, H, W, C) and a kernel."""
    size = Size._make((*x.shape, weight.shape[2]))
    flat = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    run = _convolution(*form)
    tasks = size.images * y.shape[1]
    in_threads(run, (*flat, size, False, False), tasks, threads)


def add_input_gradient(
    slope: np.ndarray, weight: np.ndarray, x: np.ndarray, form: Form, threads: int
) -> None:
    """Add to x (N, H, W, C) what slopes (N, H', W', targets, C) give, summed over the targets."""
    size = Size._make((*x.shape, weight.shape[2]))
    tasks = size.images * size.height
    if form.stride == 1:
        turned = dense(weight[::-1, ::-1])
        flat = slope.reshape(-1), turned.reshape(-1), x.reshape(-1)
        run = _convolution(*form)
        in_threads(run, (*flat, size, True, True), tasks, threads)
    else:
        flat = slope.reshape(-1), weight.reshape(-1), x.reshape(-1)
        in_threads(_spread, (*flat, size, form), tasks, threads)


def weight_gradient(x: np.ndarray, slope: np.ndarray, form: Form, threads: int) -> np.ndarray:
    """(N, H, W, C) and (N, H', W', targets, C) to (k, k, targets, C)."""
    size = Size._make((*x.shape, slope.shape[3]))
    chunks = max(1, min(CHUNKS, slope.shape[1] // 8))
    shape = (size.images * chunks, form.kernel, form.kernel, size.targets, size.channels)
    parts = np.zeros(shape, x.dtype, like=x)
    flat = x.reshape(-1), slope.reshape(-1), parts.reshape(-1)
    run = _weight_gradient(*form)
    in_threads(run, (*flat, size, chunks), len(parts), threads)
    total: np.ndarray = parts.sum(axis=0)
    return total


def compile_for(form: Form) -> None:
    """Compile what float32 maps are convolved with, and their gradients."""
    x = np.zeros((1, 1, 1, WIDTH), np.float32)
    y = np.zeros((1, 1, 1, 1, WIDTH), np.float32)
    weight = np.zeros((form.kernel, form.kernel, 1, WIDTH), np.float32)
    convolve(x, weight, y, form, threads=1)
    add_input_gradient(y, weight, x, form, threads=1)
    weight_gradient(x, y, form, threads=1)


@cache
def _convolution(kernel: int, stride: int, dilation: int) -> Any:
    reach = dilation * (kernel - 1)
    padding = reach // 2
    span = (PIXELS - 1) * stride + reach + 1

    @compiled
    @named("convolution", kernel, stride, dilation)
    def run(x, weight, y, size, gathers, adds, begin, end):  # type: ignore[no-untyped-def]
        _, height, width, channels, targets = size
        rows, columns = -(-height // stride), -(-width // stride)
        apart = targets * channels
        x_step = apart if gathers else channels
        y_step = channels if gathers else apart
        near = np.empty(span * WIDTH, x.dtype)
        result = np.empty(PIXELS * WIDTH, x.dtype)
        for task in range(begin, end):
            n, row = task // rows, task % rows
            top = row * stride - padding
            low = max(0, -(top // dilation))
            high = min(kernel, (height - 1 - top) // dilation + 1)
            above = (n * height + top) * width
            for column in range(0, columns, PIXELS):
                first = column * stride - padding
                inside = first >= 0 and first + span <= width and column + PIXELS <= columns
                count = min(PIXELS, columns - column)
                for place in range(0, apart, WIDTH):
                    block, t = place % channels, place // channels
                    x_place = place if gathers else block
                    at = (task * columns + column) * y_step + (block if gathers else place)
                    again = adds or (gathers and t > 0)
                    if inside:
                        sums = loads(PIXELS, y, at, y_step) if again else nothing(PIXELS, y)
                        for i in range(low, high):
                            seen = (above + i * dilation * width + first) * x_step + x_place
                            tap = i * kernel * apart + place
                            sums = sums_of_columns(
                                kernel, stride, dilation, sums, x, seen, x_step, weight, tap, apart
                            )
                        stores(y, at, y_step, sums)
                    else:
                        sums = nothing(PIXELS, y)
                        for i in range(low, high):
                            line = (above + i * dilation * width) * x_step + x_place
                            _bring(x, line, x_step, first, width, near)
                            tap = i * kernel * apart + place
                            sums = sums_of_columns(
                                kernel, stride, dilation, sums, near, 0, WIDTH, weight, tap, apart
                            )
                        stores(result, 0, WIDTH, sums)
                        for pixel in range(count):
                            found = load(result, pixel * WIDTH)
                            if again:
                                found = plus(found, load(y, at + pixel * y_step))
                            store(y, at + pixel * y_step, found)

    return run


@compiled
def _bring(x, line, step, first, width, near):  # type: ignore[no-untyped-def]
    """As many columns of a row as there is room for, zeros beyond the border."""
    for place in range(len(near) // WIDTH):
        column = first + place
        if 0 <= column < width:
            store(near, place * WIDTH, load(x, line + column * step))
        else:
            store(near, place * WIDTH, zeros(x))


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
    reach = dilation * (kernel - 1)
    padding = reach // 2
    span = (PIXELS - 1) * stride + reach + 1

    @compiled
    @named("weight_gradient", kernel, stride, dilation)
    def run(x, slope, parts, size, chunks, begin, end):  # type: ignore[no-untyped-def]
        _, height, width, channels, targets = size
        rows, columns = -(-height // stride), -(-width // stride)
        left = -(-padding // stride)
        whole = max(0, (width + padding - reach - 1) // stride + 1 - left) // PIXELS * PIXELS
        apart = targets * channels
        near = np.empty(span * WIDTH, x.dtype)
        slopes = np.empty(PIXELS * WIDTH, x.dtype)
        for task in range(begin, end):
            n, chunk = task // chunks, task % chunks
            own = task * kernel * kernel * apart
            for row in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
                top = row * stride - padding
                low = max(0, -(top // dilation))
                high = min(kernel, (height - 1 - top) // dilation + 1)
                for place in range(0, apart, WIDTH):
                    block = place % channels
                    line = (n * rows + row) * columns * apart + place
                    for i in range(low, high):
                        above = (n * height + top + i * dilation) * width * channels + block
                        tap = own + i * kernel * apart + place
                        sums = loads(kernel, parts, tap, apart)
                        for column in range(left, left + whole, PIXELS):
                            seen = above + (column * stride - padding) * channels
                            at = line + column * apart
                            sums = products_with_columns(
                                kernel, stride, dilation, sums, x, seen, channels, slope, at, apart
                            )
                        column = 0 if left > 0 else whole
                        while column < columns:
                            stop = left if column < left and whole > 0 else columns
                            first = column * stride - padding
                            _bring(x, above, channels, first, width, near)
                            for pixel in range(PIXELS):
                                if column + pixel < stop:
                                    g = load(slope, line + (column + pixel) * apart)
                                    store(slopes, pixel * WIDTH, g)
                                else:
                                    store(slopes, pixel * WIDTH, zeros(x))
                            sums = products_with_columns(
                                kernel, stride, dilation, sums, near, 0, WIDTH, slopes, 0, WIDTH
                            )
                            column = min(column + PIXELS, stop)
                            if column == left and whole > 0:
                                column += whole
                        stores(parts, tap, apart, sums)

    return run
