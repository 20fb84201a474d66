"""Operations of torch as calls that write their results into given memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from search_spaces.kernels.tape import Call

aten = torch.ops.aten

MAKE_MEMORY = {
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
    aten.new_empty_strided,
}
ZEROS = {aten.zeros, aten.zeros_like, aten.new_zeros}
ONES = {aten.ones, aten.ones_like, aten.new_ones}
COPIES = {aten.clone, aten._to_copy}

LIFTS = {aten.lift_fresh, aten.lift_fresh_copy}
"""Operations on tensors that torch has not made: of numbers, or of arrays."""

READ_ON_THE_HOST = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
INDEXING = {aten.index, aten.index_put, aten.index_put_}
MAKE_OTHER_TENSORS = {aten.resize_, aten.resize_as_, aten.set_}

RUNNING = {"running_mean", "running_var"}
"""Arguments that norm layers write into, whether their schemas say so or not."""


class CannotBeRecordedError(RuntimeError):
    """The work does what cannot be replayed."""


def refuse(operation: OpOverload, given: tuple[Any, ...]) -> None:
    """Let nothing pass that a replay would not do again.

    Raises:
        CannotBeRecordedError: says what.
    """
    packet = operation.overloadpacket
    if _chooses_by_mask(given) if packet in INDEXING else READ_ON_THE_HOST & set(operation.tags):
        raise CannotBeRecordedError(f"{operation.name()} reads values on the host")
    if packet in MAKE_OTHER_TENSORS:
        raise CannotBeRecordedError(f"{operation.name()} gives a tensor other memory")


def _chooses_by_mask(given: tuple[Any, ...]) -> bool:
    return any(each is not None and each.dtype in (torch.bool, torch.uint8) for each in given[1])


def only_views(operation: OpOverload) -> bool:
    """Whether nothing is computed: a tensor, new or given, gets to see memory in another way."""
    return operation.is_view or torch.Tag.inplace_view in operation.tags


def writing(
    operation: OpOverload, given: tuple[Any, ...], named: dict[str, Any], results: list[Any]
) -> Call | None:
    """The call that does the same operation in the memory of its results; None if nothing is done.

    Args:
        operation: that makes new tensors, and no view.
        given, named: its arguments.
        results: what it has returned; None for what is no new tensor.
    """
    packet = operation.overloadpacket
    if packet in MAKE_MEMORY:
        return None
    if packet in ZEROS | ONES:
        filled = results[0], 1 if packet in ONES else 0
        return Call(_op(aten.fill_.Scalar), filled, {}, results)
    if packet in COPIES:
        return Call(_op(aten.copy_.default), (results[0], given[0]), {}, results)
    written = [*results, *changed(operation, given, named)]
    plain = None not in results and not operation._schema.is_mutable
    variant = _variant(operation) if plain else None
    if variant is None:
        return Call(_copied, (_op(operation), given, named, results), {}, written)
    out, names, listed = variant
    into = {names[0]: results} if listed else dict(zip(names, results, strict=True))
    return Call(_op(out), given, {**named, **into}, written)


def in_place(operation: OpOverload, given: tuple[Any, ...], named: Mapping[str, Any]) -> Call:
    """The call that does an operation again which makes no new tensors.

    Args:
        operation: to be called.
        given, named: its arguments.
    """
    return Call(_op(operation), given, named, [*changed(operation, given, named)])


def changed(
    operation: OpOverload, given: tuple[Any, ...], named: Mapping[str, Any]
) -> Iterator[Any]:
    """Of the arguments of an operation, those that it changes; what random numbers come from, too.

    Args:
        operation: to be called.
        given, named: its arguments.
    """
    arguments = operation._schema.arguments
    for number, each in enumerate(arguments):
        changes = each.alias_info is not None and each.alias_info.is_write
        if changes or each.name in RUNNING:
            yield given[number] if number < len(given) else named.get(each.name)
    if torch.Tag.nondeterministic_seeded in operation.tags:
        yield torch.default_generator


def _copied(function: Any, given: Any, named: Any, results: list[Any]) -> None:
    found = function(*given, **named)
    for result, one in zip(
        results, found if type(found) in (tuple, list) else [found], strict=True
    ):
        if isinstance(result, Tensor):
            result.copy_(one)


def _op(operation: OpOverload) -> Any:
    """The operation without what Python adds to it."""
    return operation._op


@cache
def _variant(operation: OpOverload) -> tuple[OpOverload, tuple[str, ...], bool] | None:
    """The overload that writes into given tensors, their names, and whether it takes a list."""
    wanted = [(each.name, str(each.type)) for each in operation._schema.arguments]
    packet = operation.overloadpacket
    for name in packet.overloads():
        overload = getattr(packet, name)
        outs = [each for each in overload._schema.arguments if each.is_out]
        others = [each for each in overload._schema.arguments if not each.is_out]
        if outs and [(each.name, str(each.type)) for each in others] == wanted:
            listed = str(outs[0].type).startswith("List")
            return overload, tuple(each.name for each in outs), listed
    return None
