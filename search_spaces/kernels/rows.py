"""Some rows of one map, in a small piece of memory, and what is done with them there.

Kernels go from one operation to the next within it, a few rows at a time: maps are read from and
written to large memory once, however many operations stand between. It holds 16 channels at a
time, a block: (blocks, pixels, 16). `Surrounded` rows have zeros on all sides, as many as a
convolution reads there, so that none of its sums is at a border.
"""

from __future__ import annotations

import numpy as np

from search_spaces.kernels.compiling import kernel_part
from search_spaces.kernels.lanes import WIDTH, fused, load, plus, store, unless_negative, zeros
from search_spaces.kernels.tiles import (
    loads,
    plus_lanes_times,
    plus_numbers_times,
    plus_products,
    repeated,
    stores,
    total,
)

TILE = 16
"""Pixels, or channels, that are multiplied at once."""

COLUMNS = 8
"""Neighbouring pixels that are convolved at once."""

FEW = 4
"""Of them, in narrow maps."""

ACROSS = 256
"""Pixels that go from one operation to the next at once, about: they stay in the nearest cache."""


@kernel_part
def near(count, like):  # type: ignore[no-untyped-def]
    """Memory of zeros that begins where a register's worth of numbers does."""
    memory = np.zeros(count + WIDTH, like.dtype)
    first = -(memory.ctypes.data // like.itemsize) % WIDTH
    return memory[first : first + count]


@kernel_part
def in_tiles(pixels):  # type: ignore[no-untyped-def]
    """So many pixels, or as many more as whole tiles have."""
    return -(-pixels // TILE) * TILE


@kernel_part
def in_columns(pixels):  # type: ignore[no-untyped-def]
    """So many pixels of a row, or as many more as are convolved at once."""
    return -(-pixels // COLUMNS) * COLUMNS


@kernel_part
def reach(form, wide):  # type: ignore[no-untyped-def]
    """How far the pixels under a kernel's taps are from its first one, in rows of a width."""
    kernel, _, dilation = form
    steps = np.empty(kernel * kernel, np.int64)
    for tap in range(kernel * kernel):
        steps[tap] = (tap // kernel * wide + tap % kernel) * dilation * WIDTH
    return steps


@kernel_part
def reached(form, wide, row, column, steps, taps):  # type: ignore[no-untyped-def]
    """By which taps of a kernel, and from where, a pixel is reached that it has seen.

    Args:
        form: of the kernel.
        wide: columns of the rows that the kernel has made.
        row, column: of the pixel, as far as it is behind the first of those rows and columns when
            each of these is taken ``stride`` times.
        steps: for the places in these rows.
        taps: for the numbers of the taps.

    Returns:
        How many taps there are.
    """
    kernel, stride, dilation = form
    count = 0
    for tap in range(kernel * kernel):
        above, left = row - tap // kernel * dilation, column - tap % kernel * dilation
        if above % stride == 0 and left % stride == 0:
            steps[count] = (above // stride * wide + left // stride) * WIDTH
            taps[count] = tap
            count += 1
    return count


@kernel_part
def surround(seen, layout, place, n, image, top, high, border, wide, blocks, around):  # type: ignore[no-untyped-def]
    """Bring rows of a map, standardised and behind a ReLU, with zeros about them.

    Args:
        seen: maps x, factor and shift (N, R).
        layout: of the maps.
        place: where the channels of the map are among the R.
        n: of the image.
        image: H, W and R.
        top: the first row, which may be above the image.
        high, wide: rows and columns of the result.
        border: columns of zeros on the left.
        blocks: of channels.
        around: the result, (blocks, high, wide, 16), with zeros in the columns about the map.
    """
    x, factor, shift = seen
    height, width, numbers = image
    pixel_step, channel_step = layout
    for block in range(blocks):
        channel = place + block * WIDTH
        a, b = load(factor, n * numbers + channel), load(shift, n * numbers + channel)
        for row in range(top, top + high):
            at = (block * high + row - top) * wide * WIDTH
            if row < 0 or row >= height:
                _clear(around, at, wide)
                continue
            line = n * height * width * numbers + channel * channel_step + row * width * pixel_step
            for column in range(width):
                value = fused(load(x, line + column * pixel_step), a, b)
                value = unless_negative(value, value)
                store(around, at + (border + column) * WIDTH, value)


@kernel_part
def _clear(y, first, pixels):  # type: ignore[no-untyped-def]
    for pixel in range(pixels):
        store(y, first + pixel * WIDTH, zeros(y))


@kernel_part
def _under_taps(sums, around, begin, stride, kernel):  # type: ignore[no-untyped-def]
    """Neighbouring sums, plus what the taps of a kernel see from a pixel on."""
    steps, weight, taps, tap, apart = kernel
    for place in range(len(steps)):
        own, at_tap = begin + steps[place], tap + taps[place] * apart
        sums = plus_lanes_times(sums, around, own, stride * WIDTH, weight, at_tap)
    return sums


@kernel_part
def convolve(rows, stride, kernel, result, at):  # type: ignore[no-untyped-def]
    """Sums over the taps of a kernel of some lines of pixels of a block.

    Args:
        rows: surrounded rows, where the first pixel's kernel begins in them, and their columns.
        stride: of the kernel.
        kernel: the steps to what its taps see, see `reach`; weights; the numbers of the taps that
            are taken, of which number 0 is at an index, and the next ones some numbers apart.
        result: for the sums, and how many lines and columns they are. What is behind them may be
            overwritten.
        at: where the sums begin.
    """
    (around, first, wide), (y, lines, columns) = rows, result
    for line in range(lines):
        seen = first + line * stride * wide * WIDTH
        to = at + line * columns * WIDTH
        if columns > FEW:
            for column in range(0, columns, COLUMNS):
                begin, sums = seen + column * stride * WIDTH, repeated(COLUMNS, zeros(y))
                sums = _under_taps(sums, around, begin, stride, kernel)
                stores(y, to + column * WIDTH, WIDTH, sums)
        else:
            few = repeated(FEW, zeros(y))
            stores(y, to, WIDTH, _under_taps(few, around, seen, stride, kernel))


@kernel_part
def add_convolved(rows, kernel, result, at):  # type: ignore[no-untyped-def]
    """Add `convolve` with stride 1 to lines of whole tiles, see `in_columns`."""
    (around, first, wide), (y, lines, columns) = rows, result
    for line in range(lines):
        seen, to = first + line * wide * WIDTH, at + line * columns * WIDTH
        for column in range(0, columns * WIDTH, COLUMNS * WIDTH):
            sums = loads(COLUMNS, y, to + column, WIDTH)
            sums = _under_taps(sums, around, seen + column, 1, kernel)
            stores(y, to + column, WIDTH, sums)


@kernel_part
def multiply(x, pixels, size, weight, first, y):  # type: ignore[no-untyped-def]
    """Products across channels.

    Args:
        x: (blocks, size, 16).
        pixels: that count, a multiple of `TILE`.
        size: pixels of a block.
        weight: (in, out) from ``first`` on.
        y: as x.
    """
    channels = len(x) // size
    for out in range(0, channels, WIDTH):
        for pixel in range(0, pixels, TILE):
            sums = repeated(TILE, zeros(y))
            place = first + out
            for block in range(0, channels, WIDTH):
                at = (block // WIDTH * size + pixel) * WIDTH
                for channel in range(WIDTH):
                    sums = plus_numbers_times(sums, x, at + channel, WIDTH, weight, place)
                    place += channels
            stores(y, (out // WIDTH * size + pixel) * WIDTH, WIDTH, sums)


@kernel_part
def correlate(x, slope, pixels, size, found, first):  # type: ignore[no-untyped-def]
    """Add sums over pixels of slopes times x, of all pairs of channels, to (out, in)."""
    channels = len(x) // size
    for out in range(0, channels, TILE):
        for channel in range(0, channels, WIDTH):
            place = first + out * channels + channel
            sums = loads(TILE, found, place, channels)
            for pixel in range(pixels):
                at = (out // WIDTH * size + pixel) * WIDTH
                own = (channel // WIDTH * size + pixel) * WIDTH
                sums = plus_numbers_times(sums, slope, at, 1, x, own)
            stores(found, place, channels, sums)


@kernel_part
def correlate_taps(rows, stride, steps, slopes, found):  # type: ignore[no-untyped-def]
    """Add sums over pixels of slopes times what each tap sees.

    Args:
        rows, stride, steps: as for `convolve`.
        slopes: their first, lines and columns.
        found: for the sums, where the first tap's are, and how far they are apart.
    """
    (around, first, wide), (slope, at, lines, columns) = rows, slopes
    found, tap, apart = found
    whole = columns // FEW * FEW
    for place in range(len(steps)):
        sums = repeated(FEW, zeros(found))
        rest = load(found, tap + place * apart)
        for line in range(lines):
            seen = first + line * stride * wide * WIDTH + steps[place]
            own = at + line * columns * WIDTH
            for column in range(0, whole, FEW):
                begin = seen + column * stride * WIDTH
                sums = plus_products(
                    sums, around, begin, stride * WIDTH, slope, own + column * WIDTH
                )
            for column in range(whole, columns):
                x = load(around, seen + column * stride * WIDTH)
                rest = fused(x, load(slope, own + column * WIDTH), rest)
        store(found, tap + place * apart, plus(rest, total(sums)))


@kernel_part
def add_up(x, first, pixels, found, at):  # type: ignore[no-untyped-def]
    """Add the sum over some pixels of a block."""
    sums = load(found, at)
    for pixel in range(0, pixels * WIDTH, WIDTH):
        sums = plus(sums, load(x, first + pixel))
    store(found, at, sums)
