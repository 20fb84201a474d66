"""How much memory tensors hold at once, by what they have asked for."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Follows the storages of all tensors that operations in its context give out.

    What an operation needs for itself, and what an allocator keeps, is not seen.

    Attributes:
        present: bytes held by storages made in the context.
        peak: the most that was held at once.
        largest: the operation behind which the peak was reached.
    """

    def __init__(self) -> None:
        super().__init__()
        self.present, self.peak, self.largest = 0, 0, ""
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_key(each) for each in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            if _key(tensor) not in given:
                self._take(tensor.untyped_storage())
        if self.present > self.peak:
            self.peak, self.largest = self.present, func.name()
        return result

    def _take(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.present += storage.nbytes()
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.present -= self._sizes.pop(key)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _key(tensor: torch.Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key
