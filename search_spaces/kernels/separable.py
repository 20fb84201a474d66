"""Separable convolutions behind a norm layer and a ReLU, and their gradients, each in one sweep.

All edges from some sources to some targets are computed together. Maps of edges are in `blocks` of
as many channels as there are lanes, (N, R / 16, H, W, 16), so that what is done channel by channel
goes along the memory; R are targets * sources * C. Maps of sources, and what targets get, have
channels last, (N, H, W, sources * C), or are in blocks too. Weights of edges are within channels
(k * k, R), and across them (targets * sources, C, C).

What a convolution sees is the ReLU of factor x + shift, with rows (N, sources * C). The slope
behind it comes from a norm layer: a g + b y + c, with rows (N, R); g are maps of the edges, or what
the targets get, which is the same for all sources.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from search_spaces.kernels.compiling import compiled, in_threads, kernel_part
from search_spaces.kernels.lanes import WIDTH, fused, load, plus, store, unless_negative
from search_spaces.kernels.rows import (
    ACROSS,
    COLUMNS,
    add_convolved,
    add_up,
    convolve,
    correlate,
    correlate_taps,
    in_columns,
    in_tiles,
    multiply,
    near,
    reach,
    reached,
    surround,
)

SURROUNDED = 2**15
"""Numbers of surrounded rows, about: so many stay in the nearer caches."""


class Form(NamedTuple):
    """Square kernel, odd, padded so that stride 1 keeps the size."""

    kernel: int
    stride: int
    dilation: int


class Size(NamedTuple):
    """Of what is seen."""

    images: int
    height: int
    width: int
    sources: int
    targets: int
    channels: int


class Layout(NamedTuple):
    """How many numbers lie between neighbouring pixels, and for each channel of a whole block."""

    pixel: int
    channel: int


class Seen(NamedTuple):
    """What a convolution sees is the ReLU of factor x + shift."""

    x: np.ndarray
    factor: np.ndarray
    shift: np.ndarray


class Slope(NamedTuple):
    """The slope behind a convolution is a g + b y + c."""

    g: np.ndarray
    y: np.ndarray
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray


class Gradients(NamedTuple):
    """Of weights within and across channels, and of a bias."""

    within: np.ndarray
    across: np.ndarray
    bias: np.ndarray


def forward(
    seen: Seen,
    within: np.ndarray,
    across: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    form: Form,
    threads: int,
) -> np.ndarray:
    """The result to y.

    Args:
        seen: the input.
        within: weights within channels.
        across: (targets * sources, in, out).
        bias: (R,).
        y: maps of the edges.
        form: of the kernel.
        threads: to share the work.

    Returns:
        Sums of y and of y^2 over pixels, (2, N, R).
    """
    size, rows, numbers = _size(seen, within, across), y.shape[2], within.shape[1]
    block = _block(rows, y.shape[3], size, form)
    places = size.images * -(-rows // block)
    parts = np.zeros((2, size.images, places // size.images, numbers), y.dtype, like=y)
    given = np.zeros(numbers, y.dtype, like=y) if bias is None else bias
    flat = _flat(seen), within.reshape(-1), across.reshape(-1), given, y.reshape(-1)
    more = parts.reshape(-1), size, layout(seen.x), form, block
    in_threads(_forward, (*flat, *more), [y, parts], places * size.sources, threads)
    return _total(parts)


def input_gradient(
    seen: Seen,
    slope: Slope,
    within: np.ndarray,
    across: np.ndarray,
    to_x: np.ndarray,
    adds: bool,
    form: Form,
    threads: int,
) -> np.ndarray:
    """The gradient of factor x + shift to ``to_x``, or added to it.

    Args:
        seen: the input.
        slope: behind the convolution.
        within: weights within channels.
        across: (targets * sources, out, in).
        to_x: as x.
        adds: whether to add.
        form: of the kernel.
        threads: to share the work.

    Returns:
        Sums over pixels of the gradient, and of the gradient times factor x + shift, (2, N,
        sources * C).
    """
    size = _size(seen, within, across)
    block = _block(size.height, size.width, size, form._replace(stride=1))
    places = size.images * -(-size.height // block)
    shape = 2, size.images, places // size.images, size.sources * size.channels
    parts = np.zeros(shape, to_x.dtype, like=to_x)
    flat = _flat(seen), _flat(slope), within.reshape(-1), across.reshape(-1), to_x.reshape(-1)
    layouts = layout(seen.x), layout(slope.g)
    given = (*flat, parts.reshape(-1), size, layouts, _shared(slope), form, adds, block)
    in_threads(_input_gradient, given, [to_x, parts], places * size.sources, threads)
    return _total(parts)


def weight_gradients(
    seen: Seen, slope: Slope, within: np.ndarray, across: np.ndarray, form: Form, threads: int
) -> Gradients:
    """Of the weights, in the shapes in which they are given here, and of a bias, (R,).

    Args:
        seen: the input.
        slope: behind the convolution.
        within: weights within channels.
        across: (targets * sources, out, in).
        form: of the kernel.
        threads: to share the work.
    """
    size, y = _size(seen, within, across), slope.y
    block = _block(y.shape[2], y.shape[3], size, form)
    places = size.images * -(-y.shape[2] // block)
    shapes = within.shape, across.shape, within.shape[1:]
    parts = [np.zeros((places, *shape), y.dtype, like=y) for shape in shapes]
    flat = _flat(seen), _flat(slope), within.reshape(-1), across.reshape(-1)
    found, layouts = tuple(part.reshape(-1) for part in parts), (layout(seen.x), layout(slope.g))
    given = (*flat, found, size, layouts, _shared(slope), form, block)
    in_threads(_weight_gradients, given, parts, places * size.sources, threads)
    return Gradients(*(part.sum(0) if places > 1 else part[0] for part in parts))


def in_blocks(images: int, height: int, width: int, numbers: int) -> tuple[int, ...]:
    """The shape of maps in blocks."""
    return images, numbers // WIDTH, height, width, WIDTH


def layout(maps: np.ndarray) -> Layout:
    """That of maps with channels last, (N, H, W, R), or in blocks."""
    if maps.ndim == 4:
        return Layout(maps.shape[3], 1)
    return Layout(WIDTH, maps.shape[2] * maps.shape[3])


def compile_forward() -> None:
    """Compile `forward` for float32."""
    seen, _, within, across, form = _least()
    forward(seen, within, across, None, seen.x, form, threads=1)


def compile_input_gradient() -> None:
    """Compile `input_gradient` for float32."""
    seen, slope, within, across, form = _least()
    input_gradient(seen, slope, within, across, seen.x, adds=False, form=form, threads=1)


def compile_weight_gradients() -> None:
    """Compile `weight_gradients` for float32."""
    weight_gradients(*_least(), threads=1)


def _least() -> tuple[Seen, Slope, np.ndarray, np.ndarray, Form]:
    """Arguments of one pixel."""
    x, rows = np.zeros((1, 1, 1, 1, WIDTH), np.float32), np.zeros((1, WIDTH), np.float32)
    across = np.zeros((1, WIDTH, WIDTH), np.float32)
    return Seen(x, rows, rows), Slope(x, x, rows, rows, rows), rows, across, Form(1, 1, 1)


def _size(seen: Seen, within: np.ndarray, across: np.ndarray) -> Size:
    x, (_, numbers), channels = seen.x, within.shape, across.shape[2]
    height, width = x.shape[1:3] if x.ndim == 4 else x.shape[2:4]
    sources = seen.factor.shape[1] // channels
    return Size(len(x), height, width, sources, numbers // (sources * channels), channels)


def _shared(slope: Slope) -> int:
    """Edges that share the numbers of a slope."""
    return slope.y.size // slope.g.size


def _block(rows: int, columns: int, size: Size, form: Form) -> int:
    """Rows of an image that are computed together, from what surrounds them."""
    line = (columns * form.stride + form.dilation * form.kernel) * size.channels
    return max(1, min(rows, max(8, SURROUNDED // (line * form.stride))))


def _flat(arrays: Seen | Slope) -> tuple[np.ndarray, ...]:
    return tuple(each.reshape(-1) for each in arrays)


def _total(parts: np.ndarray) -> np.ndarray:
    total: np.ndarray = parts.sum(axis=2) if parts.shape[2] > 1 else parts[:, :, 0]
    return total


@kernel_part
def _border(form):  # type: ignore[no-untyped-def]
    """Rows above an image, and columns on its left, that a kernel sees."""
    kernel, _, dilation = form
    return dilation * (kernel - 1) // 2


@kernel_part
def _share(task, sources, block, rows):  # type: ignore[no-untyped-def]
    """What a task is about: some rows of an image, as the edges of one source see or make them.

    Returns:
        The number of these rows among those of all images, the source, n of the image, the first
        row and the one behind the last.
    """
    many = -(-rows // block)
    place, source = task // sources, task % sources
    n, first = place // many, place % many * block
    return place, source, n, first, min(first + block, rows)


@kernel_part
def _some(rows, columns):  # type: ignore[no-untyped-def]
    """Lines that are computed at once, and room for their pixels."""
    lines = max(1, min(rows, ACROSS // columns))
    return lines, in_tiles(lines * columns + COLUMNS)


@kernel_part
def _surroundings(size, form, block, like):  # type: ignore[no-untyped-def]
    """Room for what surrounds some rows, and how wide it is."""
    border, stride = _border(form), form[1]
    wide = (in_columns(-(-size[2] // stride)) - 1) * stride + 2 * border + 1
    high = (block - 1) * stride + 2 * border + 1
    return near(size[5] * high * wide, like), wide


@compiled
def _forward(seen, within, across, bias, y, parts, size, layout, form, block, begin, end):  # type: ignore[no-untyped-def]
    _, height, width, sources, targets, channels = size
    kernel, stride, _ = form
    rows, columns = -(-height // stride), -(-width // stride)
    edges, border = targets * sources, _border(form)
    around, wide = _surroundings(size, form, block, y)
    lines, pixels = _some(block, columns)
    between, result = near(pixels * channels, y), near(pixels * channels, y)
    steps, taps = reach(form, wide), np.arange(kernel * kernel)
    image, blocks = (height, width, sources * channels), channels // WIDTH
    for task in range(begin, end):
        place, source, n, first, last = _share(task, sources, block, rows)
        top, high = first * stride - border, (last - 1 - first) * stride + 2 * border + 1
        own_map = source * channels
        surround(seen, layout, own_map, n, image, top, high, border, wide, blocks, around)
        for edge in range(source, edges, sources):
            for row in range(first, last, lines):
                count = min(lines, last - row)
                for part in range(blocks):
                    at = (part * high + (row - first) * stride) * wide * WIDTH
                    tap, to = edge * channels + part * WIDTH, part * pixels * WIDTH
                    seen_rows = around, at, wide
                    own_kernel = steps, within, taps, tap, edges * channels
                    convolve(seen_rows, stride, own_kernel, (between, count, columns), to)
                some, weight = in_tiles(count * columns), edge * channels * channels
                multiply(between, some, pixels, across, weight, result)
                start = (n * edges + edge) * channels * rows * columns + row * columns * WIDTH
                own = (place * edges + edge) * channels
                for part in range(blocks):
                    own_result = result, part * pixels * WIDTH, count * columns
                    own_bias = bias, edge * channels + part * WIDTH
                    at = start + part * rows * columns * WIDTH
                    _put(own_result, own_bias, (y, at), (parts, own + part * WIDTH))


@kernel_part
def _put(result, bias, y, parts):  # type: ignore[no-untyped-def]
    """Results and a bias to y, and their sums and squares' to both halves of ``parts``."""
    (result, first, pixels), (bias, channel), (y, at), (parts, own) = result, bias, y, parts
    other = own + len(parts) // 2
    beta, sums, squares = load(bias, channel), load(parts, own), load(parts, other)
    for pixel in range(0, pixels * WIDTH, WIDTH):
        value = plus(load(result, first + pixel), beta)
        store(y, at + pixel, value)
        sums, squares = plus(sums, value), fused(value, value, squares)
    store(parts, own, sums)
    store(parts, other, squares)


@kernel_part
def _slopes(slope, layout, size, edge, pixels, result):  # type: ignore[no-untyped-def]
    """a g + b y + c of some pixels.

    Args:
        slope, layout, size: as everywhere.
        edge: n of the image, the edge, and how many share a slope.
        pixels: of the image in all, the first one, and how many there are.
        result: for (blocks, room, 16), and this room.
    """
    g, y, a, b, c = slope
    (n, edge, shared), (image, first, pixels), (result, room) = edge, pixels, result
    pixel_step, channel_step = layout
    channels, numbers = size[5], size[3] * size[4] * size[5]
    for part in range(0, channels, WIDTH):
        row = n * numbers + edge * channels + part
        along, across, constant = load(a, row), load(b, row), load(c, row)
        own = n * image * (numbers // shared) + first * pixel_step
        own += (edge // shared * channels + part) * channel_step
        at, to = row * image + first * WIDTH, part * room
        for pixel in range(pixels):
            behind, seen = load(g, own + pixel * pixel_step), load(y, at + pixel * WIDTH)
            value = fused(behind, along, fused(seen, across, constant))
            store(result, to + pixel * WIDTH, value)


@compiled
def _input_gradient(  # type: ignore[no-untyped-def]
    seen, slope, within, across, to_x, parts, size, layouts, shared, form, adds, block, begin, end
):
    _, height, width, sources, targets, channels = size
    kernel, stride, _ = form
    rows, columns, border = -(-height // stride), -(-width // stride), _border(form)
    edges, left = targets * sources, -(-border // stride)
    wide = in_columns(columns) + 2 * left
    around = near(channels * ((block - 1 + 2 * border) // stride + 2) * wide, to_x)
    lines, pixels = _some(rows, columns)
    sloped, behind = near(pixels * channels, to_x), near(pixels * channels, to_x)
    apart, phases = in_columns(columns), stride * stride
    room = -(-block // stride) * apart * WIDTH
    total = near(phases * channels // WIDTH * room, to_x)
    steps, taps = np.empty(kernel * kernel, np.int64), np.empty(kernel * kernel, np.int64)
    for task in range(begin, end):
        place, source, n, first, last = _share(task, sources, block, height)
        low, stop = (first - border) // stride, (last - 1 + border) // stride + 1
        around[:] = 0
        total[:] = 0
        for edge in range(source, edges, sources):
            for row in range(max(0, low), min(rows, stop), lines):
                count = min(lines, min(rows, stop) - row)
                some_pixels = rows * columns, row * columns, count * columns
                own_edge = n, edge, shared
                _slopes(slope, layouts[1], size, own_edge, some_pixels, (sloped, pixels))
                some, weight = in_tiles(count * columns), edge * channels * channels
                multiply(sloped, some, pixels, across, weight, behind)
                for part in range(0, channels, WIDTH):
                    at = (part // WIDTH * (stop - low) + row - low) * wide + left
                    own_rows = behind, part * pixels, count, columns
                    _spread(own_rows, around, at * WIDTH, wide)
            for phase in range(phases):
                top, side = first + phase // stride, phase % stride
                seen_from = top + border - low * stride, side + border + left * stride
                found = reached(form, wide, *seen_from, steps, taps)
                count = -(-(last - top) // stride)
                for part in range(0, channels, WIDTH):
                    at, tap = part * (stop - low) * wide, edge * channels + part
                    own_kernel = steps[:found], within, taps, tap, edges * channels
                    own_total = total, count, apart
                    to = (part // WIDTH * phases + phase) * room
                    add_convolved((around, at, wide), own_kernel, own_total, to)
        for phase in range(phases):
            top, side = first + phase // stride, phase % stride
            for part in range(0, channels, WIDTH):
                channel = source * channels + part
                at = (part // WIDTH * phases + phase) * room
                place_in_x = n, channel, top, last, side, stride
                own_parts = parts, place * sources * channels + channel
                _give((total, at, apart), seen, layouts[0], size, place_in_x, to_x, adds, own_parts)


@kernel_part
def _spread(rows, around, at, wide):  # type: ignore[no-untyped-def]
    """Put rows between columns of zeros."""
    behind, first, lines, columns = rows
    for line in range(lines):
        for column in range(columns):
            value = load(behind, first + (line * columns + column) * WIDTH)
            store(around, at + (line * wide + column) * WIDTH, value)


@kernel_part
def _give(result, seen, layout, size, place, to_x, adds, parts):  # type: ignore[no-untyped-def]
    """Gradients of what is before the ReLU, for every stride-th pixel of some rows.

    Args:
        result: gradients behind it, where they begin, and columns from line to line.
        seen, layout, size: as everywhere.
        place: n of the image, the channel, the first row, that behind the last, the first column,
            and the stride.
        to_x: for the gradients.
        adds: whether to add.
        parts: for their sums, and those of their products with factor x + shift, and where.
    """
    (result, begin, apart), (n, channel, top, last, side, stride) = result, place
    (x, factor, shift), (parts, own) = seen, parts
    pixel_step, channel_step = layout
    _, height, width, sources, _, channels = size
    numbers, other = sources * channels, own + len(parts) // 2
    a, b = load(factor, n * numbers + channel), load(shift, n * numbers + channel)
    sums, products = load(parts, own), load(parts, other)
    image = n * height * width * numbers + channel * channel_step
    for row in range(top, last, stride):
        at, line = image + row * width * pixel_step, begin + (row - top) // stride * apart * WIDTH
        for column in range(side, width, stride):
            own_x = at + column * pixel_step
            standard = fused(load(x, own_x), a, b)
            value = unless_negative(standard, load(result, line + column // stride * WIDTH))
            sums, products = plus(sums, value), fused(value, standard, products)
            if adds:
                value = plus(value, load(to_x, own_x))
            store(to_x, own_x, value)
    store(parts, own, sums)
    store(parts, other, products)


@compiled
def _weight_gradients(  # type: ignore[no-untyped-def]
    seen, slope, within, across, found, size, layouts, shared, form, block, begin, end
):
    to_within, to_across, to_bias = found
    _, height, width, sources, targets, channels = size
    kernel, stride, _ = form
    rows, columns = -(-height // stride), -(-width // stride)
    edges, border = targets * sources, _border(form)
    around, wide = _surroundings(size, form, block, to_bias)
    lines, pixels = _some(block, columns)
    between, sloped = near(pixels * channels, to_bias), near(pixels * channels, to_bias)
    behind, numbers = near(pixels * channels, to_bias), edges * channels
    steps, taps = reach(form, wide), np.arange(kernel * kernel)
    image, blocks = (height, width, sources * channels), channels // WIDTH
    for task in range(begin, end):
        place, source, n, first, last = _share(task, sources, block, rows)
        top, high = first * stride - border, (last - 1 - first) * stride + 2 * border + 1
        own_map = source * channels
        surround(seen, layouts[0], own_map, n, image, top, high, border, wide, blocks, around)
        for edge in range(source, edges, sources):
            for row in range(first, last, lines):
                count = min(lines, last - row)
                some_pixels = rows * columns, row * columns, count * columns
                own_edge = n, edge, shared
                _slopes(slope, layouts[1], size, own_edge, some_pixels, (sloped, pixels))
                some, weight = in_tiles(count * columns), edge * channels * channels
                multiply(sloped, some, pixels, across, weight, behind)
                for part in range(blocks):
                    at = (part * high + (row - first) * stride) * wide * WIDTH
                    tap, own = edge * channels + part * WIDTH, part * pixels * WIDTH
                    seen_rows = around, at, wide
                    own_kernel = steps, within, taps, tap, numbers
                    convolve(seen_rows, stride, own_kernel, (between, count, columns), own)
                    own_found = to_within, place * len(steps) * numbers + tap, numbers
                    own_slopes = behind, own, count, columns
                    correlate_taps(seen_rows, stride, steps, own_slopes, own_found)
                    add_up(sloped, own, count * columns, to_bias, place * numbers + tap)
                to = (place * edges + edge) * channels * channels
                correlate(between, sloped, count * columns, pixels, to_across, to)
