"""Where the numbers are that calls read and write, as long as nobody knows where they will be."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor

from nas.replay.memory import Block
from nas.replay.operations import CannotBeRecordedError


@dataclass(frozen=True, eq=False)
class Lasting:
    """Memory that was there before the work and is there behind it."""

    owner: weakref.ref[Any]


class Place(NamedTuple):
    """Where the numbers of a tensor or an array are.

    Attributes:
        of_tensor: or of an array.
        memory: that they are in.
        offset: of the first number, in bytes.
        dtype: of torch or numpy.
        shape: of the tensor or array.
        stride: in numbers of a tensor, in bytes of an array.
    """

    of_tensor: bool
    memory: Block | Lasting
    offset: int
    dtype: Any
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def span(self) -> tuple[int, int]:
        """From which byte of the memory to which they lie."""
        size = self.dtype.itemsize
        steps = [each * size for each in self.stride] if self.of_tensor else self.stride
        return span(self.offset, size, self.shape, steps)


def span(offset: int, size: int, shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """From which byte to which numbers lie; all are in bytes but the shape."""
    ends = [(count - 1) * stride for count, stride in zip(shape, strides, strict=True)]
    low, high = sum(min(0, end) for end in ends), sum(max(0, end) for end in ends)
    return offset + low, offset + high + size


def leaves(tree: Any) -> Iterator[Any]:
    """What is in tuples, lists and dictionaries; a place is a leaf."""
    if type(tree) in (tuple, list):
        for each in tree:
            yield from leaves(each)
    elif isinstance(tree, Mapping):
        yield from leaves(list(tree.values()))
    else:
        yield tree


def owner_of(memory: Lasting | Block) -> Any:
    """What holds memory that is held still.

    Raises:
        CannotBeRecordedError: nothing does.
    """
    owner = memory.owner()
    if owner is None:
        raise CannotBeRecordedError("it reads memory that was made where no recording sees it")
    return owner


class Memory:
    """Tensors and arrays at places.

    Args:
        arena: memory of all blocks that were given back.
    """

    def __init__(self, arena: np.ndarray) -> None:
        self._arena = arena
        self._made: dict[Place, Tensor | np.ndarray] = {}
        self._known: dict[int, _Bytes] = {}

    def found(self, tree: Any) -> Any:
        """The tree with tensors and arrays for places."""
        if type(tree) is Place:
            if tree not in self._made:
                self._made[tree] = self._at(tree)
            return self._made[tree]
        if type(tree) in (tuple, list):
            return type(tree)(self.found(each) for each in tree)
        if type(tree) is dict:
            return {name: self.found(each) for name, each in tree.items()}
        return tree

    def _at(self, place: Place) -> Tensor | np.ndarray:
        held, offset = self._bytes_of(self._owner(place.memory)), place.offset
        if _is_given_back(place.memory):
            offset += place.memory.offset
        if place.of_tensor:
            tensor = torch.empty(0, dtype=place.dtype)
            begin = offset // tensor.element_size()
            return tensor.set_(held.storage, begin, place.shape, place.stride)
        return np.ndarray(place.shape, place.dtype, held.array, offset, place.stride)

    def _owner(self, memory: Block | Lasting) -> Any:
        if _is_given_back(memory):
            return self._arena
        return owner_of(memory)

    def _bytes_of(self, owner: torch.UntypedStorage | np.ndarray) -> _Bytes:
        """The same for all who see them: each by itself would take more than a view does."""
        if id(owner) not in self._known:
            self._known[id(owner)] = _bytes_of(owner)
        return self._known[id(owner)]


def _is_given_back(memory: Block | Lasting) -> TypeGuard[Block]:
    return isinstance(memory, Block) and not memory.is_held


class _Bytes(NamedTuple):
    """The same memory, for tensors and for arrays."""

    storage: torch.UntypedStorage
    array: np.ndarray


def _bytes_of(owner: torch.UntypedStorage | np.ndarray) -> _Bytes:
    if isinstance(owner, torch.UntypedStorage):
        return _Bytes(owner, torch.empty(0, dtype=torch.uint8).set_(owner).numpy())
    array = owner.ravel(order="K").view(np.uint8)
    return _Bytes(torch.from_numpy(array).untyped_storage(), array)
