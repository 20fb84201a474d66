"""Work on a CPU, recorded as the calls that it makes, and replayed on the same memory.

A step of small maps takes longer in Python, autograd and allocators than in arithmetic. A recording
keeps operations of torch below autograd, functions of numpy and kernels, each as a call that writes
into given memory: networks, gradients and views are gone. A replay makes the same calls in the same
order, so that its numbers are the same bits.

Random numbers are drawn anew, from the state that torch's generator has by then.

What was made and given back in the work lies in one arena, laid out by when each piece was needed.
What lasts, weights and results, stays where it is.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nas.memory import give_back_freed
from nas.replay.memory import Arena, Block, Blocks, arrange
from nas.replay.operations import LIFTS, Call, CannotBeRecordedError, only_views, refuse, writing
from nas.traceless import noise_told
from search_spaces.kernels import tape

Result = TypeVar("Result")

NO_OPTIONS: dict[str, Any] = {}


class Recordings:
    """Records work on a CPU; a `nas.captured.Recorder`.

    A recording takes as long as some ten times the work, so that much is done as ever before: at
    the worst, where nothing is ever replayed, the whole takes twice as long.
    """

    patience = 10
    is_exact = True
    draws = True

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Go on with other memory; the old one goes with the replays that hold it."""
        self._arena = Arena()

    def bytes(self) -> int:
        """Size of the memory that replays share."""
        return len(self._arena)

    def rest(self) -> None:
        """Let go of the arena until the next replay: what is in it is lost."""
        self._arena.rest()

    def warm_up(self, work: Callable[[], Result]) -> Result:
        """Do the work, without the memory of replays: what is in it is lost."""
        self.rest()
        result = work()
        give_back_freed()
        return result

    def record(self, work: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
        """Do the work; what it results in, and what does it again.

        Raises:
            CannotBeRecordedError: it reads values on the host or takes some from it. What bypasses
                torch and the tape (``Tensor.numpy``, numpy's own random numbers) is not seen:
                compare a replay with the work (`nas.replay.trial`).
            MemoryError: there is none for the arena.
        """
        self.rest()
        recording = _Recording()
        with recording.running():
            result = work()
        calls = recording.calls_in(self._arena)
        give_back_freed()

        @torch.no_grad()
        def replay() -> None:
            for function, given, named in calls:
                function(*given, **named)

        return result, replay


@dataclass(frozen=True, eq=False)
class _Lasting:
    """Memory that was there before the work and is there behind it."""

    owner: weakref.ref[Any]


class _Place(NamedTuple):
    """Where the numbers of a tensor or an array are; the offset is in bytes, strides as it has."""

    of_tensor: bool
    memory: Block | _Lasting
    offset: int
    dtype: Any
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Recording(TorchDispatchMode):
    """What is done in its context; a `search_spaces.kernels.tape.Tape`."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks = Blocks()
        self._calls: list[Call] = []
        self._places: dict[_Place, _Place] = {}
        self._lasting: dict[int, _Lasting] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record what is done in this context."""
        with ExitStack() as stack:
            for each in (noise_told(self.called), tape.running(self), self):
                stack.enter_context(each)
            yield

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        refuse(func, args)
        if func.overloadpacket in LIFTS and self._blocks.at(args[0].data_ptr()) is None:
            raise CannotBeRecordedError(f"{func.name()} takes a value from the host")
        named = kwargs or {}
        found = func(*args, **named)
        if only_views(func):
            return found
        results = self._new(found, (*args, *named.values()))
        if any(each is not None for each in results):
            self._take(results)
            call = writing(func, args, named, results)
            if call is not None:
                self.called(*call)
        elif func._schema.is_mutable:
            self.called(func._op, args, named)
        return found

    def called(
        self, function: Callable[..., object], arguments: tuple[Any, ...], named: Mapping[str, Any]
    ) -> None:
        """Remember a call that has been made."""
        options = self._placed(dict(named)) if named else NO_OPTIONS
        self._calls.append((function, self._placed(arguments), options))
        self._blocks.time += 1

    def made(self, array: np.ndarray) -> None:
        """Remember memory of an array."""
        self._blocks.take(array, array.ctypes.data, array.nbytes)

    def calls_in(self, arena: Arena) -> list[Call]:
        """All calls, on memory of the arena."""
        gc.collect()
        memory = _Memory(arena.bytes(arrange(self._blocks.all)))
        self._blocks.all.clear()
        self._places.clear()
        calls = self._calls
        for number, (function, given, named) in enumerate(calls):
            calls[number] = function, memory.found(given), memory.found(named)
        return calls

    def _new(self, found: Any, given: tuple[Any, ...]) -> list[Tensor | None]:
        """Tensors that an operation has made; None for what it was given, and for other values."""
        memory = {_storage(each) for each in given if isinstance(each, Tensor)}
        tensors = [each if isinstance(each, Tensor) else None for each in _listed(found)]
        return [None if each is None or _storage(each) in memory else each for each in tensors]

    def _take(self, results: list[Tensor | None]) -> None:
        for each in results:
            storage = None if each is None else each.untyped_storage()
            if storage is not None and self._blocks.at(storage.data_ptr()) is None:
                self._blocks.take(storage, storage.data_ptr(), storage.nbytes())

    def _placed(self, tree: Any) -> Any:
        if isinstance(tree, Tensor):
            return self._place_of_tensor(tree)
        if isinstance(tree, np.ndarray):
            return self._place_of_array(tree)
        if type(tree) in (tuple, list):
            return type(tree)(self._placed(each) for each in tree)
        if type(tree) is dict:
            return {name: self._placed(each) for name, each in tree.items()}
        return tree

    def _place_of_tensor(self, tensor: Tensor) -> _Place | Tensor:
        if tensor.is_conj() or tensor.is_neg():
            raise CannotBeRecordedError("a view of complex numbers changes their signs")
        if tensor.numel() == 0:
            return tensor.detach()
        form = tensor.dtype, tuple(tensor.shape), tensor.stride()
        block = self._blocks.at(tensor.data_ptr())
        if block is not None:
            return self._known(_Place(True, block, tensor.data_ptr() - block.address, *form))
        lasting = self._lasting_of(tensor.untyped_storage())
        offset = int(tensor.storage_offset()) * tensor.element_size()
        return self._known(_Place(True, lasting, offset, *form))

    def _place_of_array(self, array: np.ndarray) -> _Place | np.ndarray:
        if array.size == 0:
            return array
        block = self._blocks.at(array.ctypes.data)
        if block is not None:
            offset = array.ctypes.data - block.address
            form = array.dtype, array.shape, array.strides
            return self._known(_Place(False, block, offset, *form))
        if isinstance(_root(array), np.ndarray):
            raise CannotBeRecordedError("an array comes from where no tape has seen it")
        return array

    def _known(self, place: _Place) -> _Place:
        return self._places.setdefault(place, place)

    def _lasting_of(self, storage: torch.UntypedStorage) -> _Lasting:
        known = self._lasting.get(storage.data_ptr())
        if known is None or known.owner() is not storage:
            known = self._lasting[storage.data_ptr()] = _Lasting(weakref.ref(storage))
        return known


class _Memory:
    """Tensors and arrays at places."""

    def __init__(self, arena: np.ndarray) -> None:
        self._arena = arena
        self._made: dict[_Place, Tensor | np.ndarray] = {}
        self._known: dict[int, _Bytes] = {}

    def found(self, tree: Any) -> Any:
        """The tree with tensors and arrays for places."""
        if type(tree) is _Place:
            if tree not in self._made:
                self._made[tree] = self._at(tree)
            return self._made[tree]
        if type(tree) in (tuple, list):
            return type(tree)(self.found(each) for each in tree)
        if type(tree) is dict:
            return {name: self.found(each) for name, each in tree.items()}
        return tree

    def _at(self, place: _Place) -> Tensor | np.ndarray:
        held, offset = self._bytes_of(self._owner(place.memory)), place.offset
        if isinstance(place.memory, Block) and place.memory.died is not None:
            offset += place.memory.offset
        if place.of_tensor:
            tensor = torch.empty(0, dtype=place.dtype)
            begin = offset // tensor.element_size()
            return tensor.set_(held.storage, begin, place.shape, place.stride)
        return np.ndarray(place.shape, place.dtype, held.array, offset, place.stride)

    def _owner(self, memory: Block | _Lasting) -> Any:
        if isinstance(memory, Block) and memory.died is not None:
            return self._arena
        owner = memory.owner()
        if owner is None:
            raise CannotBeRecordedError("it reads memory that was made where no recording sees it")
        return owner

    def _bytes_of(self, owner: torch.UntypedStorage | np.ndarray) -> _Bytes:
        """The same for all who see them: each by itself would take more than a view does."""
        if id(owner) not in self._known:
            self._known[id(owner)] = _bytes_of(owner)
        return self._known[id(owner)]


class _Bytes(NamedTuple):
    """The same memory, for tensors and for arrays."""

    storage: torch.UntypedStorage
    array: np.ndarray


def _root(array: Any) -> Any:
    """What owns the memory of an array."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def _bytes_of(owner: torch.UntypedStorage | np.ndarray) -> _Bytes:
    if isinstance(owner, torch.UntypedStorage):
        return _Bytes(owner, torch.empty(0, dtype=torch.uint8).set_(owner).numpy())
    array = owner.ravel(order="K").view(np.uint8)
    return _Bytes(torch.from_numpy(array).untyped_storage(), array)


def _listed(found: Any) -> Sequence[Any]:
    return found if type(found) in (tuple, list) else [found]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
