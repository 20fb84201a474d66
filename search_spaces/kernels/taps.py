"""The columns of a kernel on neighbouring pixels, unrolled: what convolutions are made of.

Sixteen channels of four output pixels are computed at once. The pixels of a row that several
columns of the kernel see are read once. How often something is unrolled are literal numbers.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from search_spaces.kernels.lanes import LanesType, multiply_add, read, spread, write

PIXELS = 4
"""Neighbouring output pixels that are computed at once."""


@intrinsic(prefer_literal=True)
def sums_of_columns(
    typing: Any,
    columns: Any,
    stride: Any,
    dilation: Any,
    sums: Any,
    x: Any,
    first: Any,
    step: Any,
    weight: Any,
    place: Any,
    apart: Any,
) -> Any:
    """For one row of a kernel: four sums, each of `columns` pixels times the kernel's columns."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kinds, (held, *rest) = signature.args, given[3:]
        pixels = _reader(context, builder, kinds[4], *rest[:3])
        kernel = _reader(context, builder, kinds[7], *rest[3:])
        totals = [builder.extract_value(held, pixel) for pixel in range(PIXELS)]
        for column in range(columns.literal_value):
            for pixel in range(PIXELS):
                steps = pixel * stride.literal_value + column * dilation.literal_value
                totals[pixel] = multiply_add(builder, pixels(steps), kernel(column), totals[pixel])
        return context.make_tuple(builder, signature.return_type, totals)

    return _signature((columns, stride, dilation), PIXELS, x, weight), emit


@intrinsic(prefer_literal=True)
def products_with_columns(
    typing: Any,
    columns: Any,
    stride: Any,
    dilation: Any,
    sums: Any,
    x: Any,
    first: Any,
    step: Any,
    g: Any,
    place: Any,
    apart: Any,
) -> Any:
    """For each column of one row of a kernel: the sum over four pixels of what it sees times g."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kinds, (held, *rest) = signature.args, given[3:]
        pixels = _reader(context, builder, kinds[4], *rest[:3])
        slopes = _reader(context, builder, kinds[7], *rest[3:])
        count = columns.literal_value
        totals = [builder.extract_value(held, column) for column in range(count)]
        for pixel in range(PIXELS):
            for column in range(count):
                steps = pixel * stride.literal_value + column * dilation.literal_value
                seen = pixels(steps)
                totals[column] = multiply_add(builder, seen, slopes(pixel), totals[column])
        return context.make_tuple(builder, signature.return_type, totals)

    return _signature((columns, stride, dilation), columns.literal_value, x, g), emit


@intrinsic(prefer_literal=True)
def nothing(typing: Any, count: Any, array: Any) -> Any:
    """Several lanes of zeros, of the type of an array."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        zero = context.get_constant_null(signature.return_type.dtype)
        return context.make_tuple(builder, signature.return_type, [zero] * count.literal_value)

    return _several(array, count.literal_value)(count, array), emit


@intrinsic(prefer_literal=True)
def loads(typing: Any, count: Any, array: Any, place: Any, apart: Any) -> Any:
    """Several lanes that stand some steps apart."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        at = _reader(context, builder, signature.args[1], *given[1:])
        lanes = [at(part) for part in range(count.literal_value)]
        return context.make_tuple(builder, signature.return_type, lanes)

    size = types.intp
    return _several(array, count.literal_value)(count, array, size, size), emit


@intrinsic
def stores(typing: Any, array: Any, place: Any, apart: Any, lanes: Any) -> Any:
    """Put several lanes to where they stand some steps apart."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        array, place, apart, lanes = given
        kind = signature.args[0]
        for part in range(signature.args[3].count):
            index = builder.add(place, builder.mul(apart, apart.type(part)))
            write(context, builder, kind, array, index, builder.extract_value(lanes, part))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), emit


@intrinsic
def outer(typing: Any, sums: Any, x: Any, first: Any, step: Any, lanes: Any, place: Any) -> Any:
    """Adds to each of several sums its own number of x times the same lanes."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        held, x, first, step, lanes, place = given
        kinds = signature.args
        beside = read(context, builder, kinds[4], lanes, place)
        totals = []
        for part in range(kinds[0].count):
            index = builder.add(first, builder.mul(step, step.type(part)))
            number = spread(context, builder, kinds[1], x, index)
            total = builder.extract_value(held, part)
            totals.append(multiply_add(builder, number, beside, total))
        return context.make_tuple(builder, signature.return_type, totals)

    size = types.intp
    return sums(sums, x, size, size, lanes, size), emit


def _several(array: Any, count: int) -> Any:
    return types.UniTuple(LanesType(array.dtype), count)


def _signature(literals: tuple[Any, ...], count: int, x: Any, other: Any) -> Any:
    sums, size = _several(x, count), types.intp
    return sums(*literals, sums, x, size, size, other, size, size)


def _reader(context: Any, builder: Any, kind: Any, array: Any, first: Any, step: Any) -> Any:
    """Reads what is some steps behind an index, each but once."""
    known: dict[int, Any] = {}

    def at(steps: int) -> Any:
        if steps not in known:
            index = builder.add(first, builder.mul(step, step.type(steps)))
            known[steps] = read(context, builder, kind, array, index)
        return known[steps]

    return at
