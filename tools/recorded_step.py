"""What a CUDA graph does, without a GPU: operations recorded, and replayed on the same memory.

`Recordings` stands in for `nas.captured.CudaGraphs` on a machine without a GPU. It refuses what a
graph cannot hold, and counts the operations that a GPU would launch a kernel for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
Result = TypeVar("Result")

READ_ON_THE_HOST = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
MAKE_MEMORY = {
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
    aten.new_empty_strided,
}


class CannotBeCapturedError(RuntimeError):
    """The work does what a CUDA graph cannot hold."""


@dataclass
class Launches(TorchDispatchMode):
    """Counts the operations in its context that a GPU would launch a kernel for.

    Views, and memory that is not filled, cost none. An operation on a list of tensors counts once.

    Attributes:
        counts: by name.
    """

    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if launches(func, (args, kwargs), result):
            self.counts[func.name()] += 1
        return result


@dataclass
class Recording(Launches):
    """Records the operations in its context, with the very tensors they read and write.

    Raises:
        CannotBeCapturedError: one of them reads a value on the host, takes one from it, or draws
            random numbers.
    """

    entries: list[tuple[Any, Any, Any, Any]] = field(default_factory=list)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        refuse(func, args)
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if launches(func, (args, kwargs), result):
            self.entries.append((func, *map(_bare, (args, kwargs or {}, result))))
        return result

    def replay(self) -> None:
        """Do it all again, in the same memory."""
        with torch.no_grad():
            for func, args, kwargs, result in self.entries:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and _memory(old) != _memory(new):
                        old.copy_(new)


class Recordings:
    """Takes the place of `nas.captured.CudaGraphs`.

    As in a capture, the random state is out of reach while work is recorded. Unlike in one, the
    work is done too; so its first replay is left out.

    Attributes:
        taken: all recordings so far.
    """

    def __init__(self) -> None:
        self.taken: list[Recording] = []

    def begin(self) -> None:
        """Go on; every recording has memory of its own."""

    def warm_up(self, work: Callable[[], Result]) -> Result:
        """Do the work."""
        return work()

    def record(self, work: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
        """Do the work and remember it."""
        recording = Recording()
        with patch("nas.traceless.capturing", return_value=True), recording:
            result = work()
        self.taken.append(recording)
        done = iter([True])

        def replay() -> None:
            if not next(done, False):
                recording.replay()

        return result, replay


def launches(func: Any, inputs: Any, result: Any) -> bool:
    """Whether a GPU would be given a kernel for the operation."""
    if func.is_view or func.overloadpacket in MAKE_MEMORY:
        return False
    if func._schema.is_mutable:
        return True
    given = {_memory(each) for each in tree_leaves(inputs) if isinstance(each, Tensor)}
    made = [_memory(each) for each in tree_leaves(result) if isinstance(each, Tensor)]
    return not made or any(memory not in given for memory in made)


def refuse(func: Any, args: tuple[Any, ...]) -> None:
    """Let nothing pass that a CUDA graph cannot hold.

    Raises:
        CannotBeCapturedError: says what.
    """
    chosen_by_mask = func.overloadpacket in (aten.index, aten.index_put, aten.index_put_) and any(
        each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1]
    )
    if READ_ON_THE_HOST & set(func.tags) or chosen_by_mask:
        raise CannotBeCapturedError(f"{func.name()} reads values on the host")
    if torch.Tag.nondeterministic_seeded in func.tags:
        raise CannotBeCapturedError(f"{func.name()} draws random numbers")
    if func.overloadpacket in (aten.lift_fresh, aten.lift_fresh_copy):
        raise CannotBeCapturedError(f"{func.name()} takes a value from the host")


def _bare(tree: Any) -> Any:
    """The same memory, without the graphs of autograd."""
    return tree_map_only(Tensor, Tensor.detach, tree)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
