"""The columns of a kernel on neighbouring pixels, unrolled: what convolutions are made of.

Sixteen channels of four output pixels are computed at once. The pixels of a row that several
columns of the kernel see are read once.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from search_spaces.kernels.lanes import LanesType, multiply_add, read, spread, write

PIXELS = 4
"""Neighbouring output pixels that are computed at once."""


def sums_of_columns(columns: int, stride: int, dilation: int) -> Any:
    """For one row of a kernel: four sums, each of `columns` pixels times the kernel's columns."""

    @intrinsic
    def advance(
        typing: Any, sums: Any, x: Any, first: Any, step: Any, weight: Any, place: Any, apart: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            held, x, first, step, weight, place, apart = given
            kinds = signature.args
            pixels = _reader(context, builder, kinds[1], x, first, step)
            kernel = _reader(context, builder, kinds[4], weight, place, apart)
            totals = [builder.extract_value(held, pixel) for pixel in range(PIXELS)]
            for column in range(columns):
                for pixel in range(PIXELS):
                    seen = pixels(pixel * stride + column * dilation)
                    totals[pixel] = multiply_add(builder, seen, kernel(column), totals[pixel])
            return context.make_tuple(builder, signature.return_type, totals)

        lanes, size = LanesType(x.dtype), types.intp
        sums = types.UniTuple(lanes, PIXELS)
        return sums(sums, x, size, size, weight, size, size), emit

    return advance


def products_with_columns(columns: int, stride: int, dilation: int) -> Any:
    """For each column of one row of a kernel: the sum over four pixels of what it sees times g."""

    @intrinsic
    def advance(
        typing: Any, sums: Any, x: Any, first: Any, step: Any, g: Any, place: Any, apart: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            held, x, first, step, g, place, apart = given
            kinds = signature.args
            pixels = _reader(context, builder, kinds[1], x, first, step)
            slopes = _reader(context, builder, kinds[4], g, place, apart)
            totals = [builder.extract_value(held, column) for column in range(columns)]
            for pixel in range(PIXELS):
                for column in range(columns):
                    seen = pixels(pixel * stride + column * dilation)
                    totals[column] = multiply_add(builder, seen, slopes(pixel), totals[column])
            return context.make_tuple(builder, signature.return_type, totals)

        lanes, size = LanesType(x.dtype), types.intp
        sums = types.UniTuple(lanes, columns)
        return sums(sums, x, size, size, g, size, size), emit

    return advance


def _reader(context: Any, builder: Any, kind: Any, array: Any, first: Any, step: Any) -> Any:
    """Reads what is some steps behind an index, each but once."""
    known: dict[int, Any] = {}

    def at(steps: int) -> Any:
        if steps not in known:
            index = builder.add(first, builder.mul(step, step.type(steps)))
            known[steps] = read(context, builder, kind, array, index)
        return known[steps]

    return at


def many(count: int) -> tuple[Any, Any, Any]:
    """Makes ``count`` lanes of zeros, reads and writes as many that stand some steps apart."""

    @intrinsic
    def nothing(typing: Any, array: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            zero = context.get_constant_null(signature.return_type.dtype)
            return context.make_tuple(builder, signature.return_type, [zero] * count)

        return types.UniTuple(LanesType(array.dtype), count)(array), emit

    @intrinsic
    def loads(typing: Any, array: Any, place: Any, apart: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            at = _reader(context, builder, signature.args[0], *given)
            return context.make_tuple(builder, signature.return_type, [*map(at, range(count))])

        kind = types.UniTuple(LanesType(array.dtype), count)
        return kind(array, types.intp, types.intp), emit

    @intrinsic
    def stores(typing: Any, array: Any, place: Any, apart: Any, lanes: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            array, place, apart, lanes = given
            kind = signature.args[0]
            for part in range(count):
                index = builder.add(place, builder.mul(apart, apart.type(part)))
                write(context, builder, kind, array, index, builder.extract_value(lanes, part))
            return context.get_dummy_value()

        return types.void(array, types.intp, types.intp, lanes), emit

    return nothing, loads, stores


def outer(count: int) -> Any:
    """Adds to each of ``count`` sums its own number of x times the same lanes."""

    @intrinsic
    def advance(
        typing: Any, sums: Any, x: Any, first: Any, step: Any, lanes: Any, place: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            held, x, first, step, lanes, place = given
            kinds = signature.args
            beside = read(context, builder, kinds[4], lanes, place)
            totals = []
            for part in range(count):
                index = builder.add(first, builder.mul(step, step.type(part)))
                number = spread(context, builder, kinds[1], x, index)
                total = builder.extract_value(held, part)
                totals.append(multiply_add(builder, number, beside, total))
            return context.make_tuple(builder, signature.return_type, totals)

        size = types.intp
        sums = types.UniTuple(LanesType(x.dtype), count)
        return sums(sums, x, size, size, lanes, size), emit

    return advance
