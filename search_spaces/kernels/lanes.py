"""Sixteen numbers beside each other as one value: what a processor computes with at once.

Loops over channels become operations on `Lanes`, held in registers; how wide a register is, the
compiler knows. Arrays are flat and their indices count from their first number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from search_spaces.kernels import LANES

WIDTH = LANES
"""Numbers in `Lanes`."""

CONTRACT = ("contract",)
"""A product and a sum may be rounded once instead of twice."""


class LanesType(types.Type):
    """Sixteen float32 or float64."""

    def __init__(self, scalar: types.Float) -> None:
        super().__init__(f"Lanes({scalar})")
        self.scalar = scalar


@register_model(LanesType)
class LanesModel(models.PrimitiveModel):
    """A vector of the compiler."""

    def __init__(self, manager: Any, kind: LanesType) -> None:
        scalar = ir.FloatType() if kind.scalar == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(scalar, WIDTH))


def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Where ``Lanes`` begin in an array, from inside an intrinsic."""
    place = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    vector = context.get_value_type(LanesType(kind.dtype))
    return builder.bitcast(place, vector.as_pointer())


def read(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """`load`, from inside an intrinsic."""
    place = pointer(context, builder, kind, array, index)
    return builder.load(place, align=kind.dtype.bitwidth // 8)


def write(context: Any, builder: Any, kind: Any, array: Any, index: Any, lanes: Any) -> None:
    """`store`, from inside an intrinsic."""
    place = pointer(context, builder, kind, array, index)
    builder.store(lanes, place, align=kind.dtype.bitwidth // 8)


def spread(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """One number of an array in all lanes, from inside an intrinsic."""
    place = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return everywhere(builder, builder.load(place))


def everywhere(builder: Any, number: Any) -> Any:
    """One number in all lanes, from inside an intrinsic."""
    first = ir.Constant(ir.IntType(32), 0)
    nothing = ir.Constant(ir.VectorType(number.type, WIDTH), ir.Undefined)
    one = builder.insert_element(nothing, number, first)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, nothing, lanes)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The numbers from an index on."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return read(context, builder, signature.args[0], *given)

    return LanesType(array.dtype)(array, types.intp), emit


@intrinsic
def store(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Put numbers from an index on."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        write(context, builder, signature.args[0], *given)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


@intrinsic
def zeros(typing: Any, array: Any) -> Any:
    """Zeros of the type of an array."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return LanesType(array.dtype)(array), emit


@intrinsic
def fused(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return multiply_add(builder, *given)

    return x(x, y, z), emit


def multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """`fused`, from inside an intrinsic."""
    return builder.fadd(builder.fmul(x, y, flags=CONTRACT), z, flags=CONTRACT)


@intrinsic
def plus(typing: Any, x: Any, y: Any) -> Any:
    """x + y."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.fadd(*given)

    return x(x, y), emit


@intrinsic
def times(typing: Any, x: Any, y: Any) -> Any:
    """x * y."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.fmul(*given)

    return x(x, y), emit


@intrinsic
def unless_negative(typing: Any, x: Any, y: Any) -> Any:
    """y where x > 0 or is no number, else 0: a ReLU of x if both are x, its gradient if y is."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        zero = ir.Constant(given[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", given[0], zero), zero, given[1])

    return x(x, y), emit


@intrinsic
def filled(typing: Any, array: Any, number: Any) -> Any:
    """One number in all lanes, of the type of an array."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return everywhere(builder, given[1])

    return LanesType(array.dtype)(array, array.dtype), emit


@intrinsic
def where_larger(typing: Any, x: Any, y: Any, a: Any, b: Any) -> Any:
    """a where x > y or x is no number, else b."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        x, y, a, b = given
        larger = builder.fcmp_ordered(">", x, y)
        return builder.select(builder.or_(larger, builder.fcmp_unordered("uno", x, x)), a, b)

    return x(x, y, a, b), emit


@intrinsic
def where_equal(typing: Any, x: Any, y: Any, a: Any) -> Any:
    """a where x = y, else 0."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        equal = builder.fcmp_ordered("==", given[0], given[1])
        return builder.select(equal, given[2], ir.Constant(given[2].type, None))

    return x(x, y, a), emit
