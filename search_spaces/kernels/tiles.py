"""Several `Lanes` held in registers at once: sums that share what they read.

A tile is a tuple of lanes. How many it has is a literal number, where it is made.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from numba import types
from numba.extending import intrinsic

from search_spaces.kernels.lanes import WIDTH, LanesType, multiply_add, read, spread, write


@intrinsic(prefer_literal=True)
def repeated(typing: Any, count: Any, lanes: Any) -> Any:
    """The same lanes, several times."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, [given[1]] * count.literal_value)

    return types.UniTuple(lanes, count.literal_value)(count, lanes), emit


@intrinsic(prefer_literal=True)
def loads(typing: Any, count: Any, array: Any, place: Any, apart: Any) -> Any:
    """The lanes that stand some steps apart."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        count, array, place, apart = given
        tile = [
            read(context, builder, signature.args[1], array, _behind(builder, place, apart, part))
            for part in range(signature.return_type.count)
        ]
        return context.make_tuple(builder, signature.return_type, tile)

    size, lanes = types.intp, LanesType(array.dtype)
    return types.UniTuple(lanes, count.literal_value)(count, array, size, size), emit


@intrinsic
def stores(typing: Any, array: Any, place: Any, apart: Any, tile: Any) -> Any:
    """Put the lanes of a tile to where they stand some steps apart."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        array, place, apart, tile = given
        for part in range(signature.args[3].count):
            index = _behind(builder, place, apart, part)
            lanes = builder.extract_value(tile, part)
            write(context, builder, signature.args[0], array, index, lanes)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, tile), emit


@intrinsic
def plus_numbers_times(
    typing: Any, tile: Any, x: Any, first: Any, apart: Any, y: Any, place: Any
) -> Any:
    """Each of a tile plus a number of x of its own, some steps apart, times the same lanes of y."""
    return _sums(tile, x, y, spread, each_has_its_own=False)


@intrinsic
def plus_lanes_times(
    typing: Any, tile: Any, x: Any, first: Any, apart: Any, y: Any, place: Any
) -> Any:
    """Each of a tile plus lanes of x of its own, some steps apart, times the same lanes of y."""
    return _sums(tile, x, y, read, each_has_its_own=False)


@intrinsic
def plus_products(
    typing: Any, tile: Any, x: Any, first: Any, apart: Any, y: Any, place: Any
) -> Any:
    """Each of a tile plus lanes of x, some steps apart, times lanes of y beside each other."""
    return _sums(tile, x, y, read, each_has_its_own=True)


@intrinsic
def total(typing: Any, tile: Any) -> Any:
    """The sum of a tile's lanes."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        parts = [builder.extract_value(given[0], part) for part in range(signature.args[0].count)]
        return reduce(builder.fadd, parts)

    return tile.dtype(tile), emit


def _sums(tile: Any, x: Any, y: Any, reader: Any, each_has_its_own: bool) -> Any:
    """Of an intrinsic: its signature, and what emits it."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        tile, x, first, apart, y, place = given
        kinds = signature.args
        sums = []
        for part in range(kinds[0].count):
            if part == 0 or each_has_its_own:
                at = builder.add(place, place.type(part * WIDTH))
                other = read(context, builder, kinds[4], y, at)
            seen = reader(context, builder, kinds[1], x, _behind(builder, first, apart, part))
            sums.append(multiply_add(builder, seen, other, builder.extract_value(tile, part)))
        return context.make_tuple(builder, signature.return_type, sums)

    size = types.intp
    return tile(tile, x, size, size, y, size), emit


def _behind(builder: Any, first: Any, apart: Any, part: int) -> Any:
    """The index that is some steps behind the first one."""
    return builder.add(first, builder.mul(apart, apart.type(part)))
