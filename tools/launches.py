"""How many kernels a GPU would be given, counted without one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.replay.operations import MAKE_MEMORY


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
        if _launches(func, (args, kwargs), result):
            self.counts[func.name()] += 1
        return result


def _launches(func: Any, inputs: Any, result: Any) -> bool:
    if func.is_view or func.overloadpacket in MAKE_MEMORY:
        return False
    if func._schema.is_mutable:
        return True
    given = {_memory(each) for each in tree_leaves(inputs) if isinstance(each, Tensor)}
    made = [_memory(each) for each in tree_leaves(result) if isinstance(each, Tensor)]
    return not made or any(memory not in given for memory in made)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
