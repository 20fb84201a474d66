"""Work on a CPU, recorded as the calls that it makes, and replayed on the same memory.

A step of small maps takes longer in Python, autograd and allocators than in arithmetic. A recording
keeps operations of torch below autograd, functions of numpy and kernels, each as a call that writes
into given memory: networks, gradients and views are gone. A replay makes the same calls, each after
those that it needs, so that its numbers are the same bits, in however many streams it makes them.

Random numbers are drawn anew, from the state that torch's generator has by then.

What was made and given back in the work lies in one arena, laid out by when each piece was needed.
What lasts, weights and results, stays where it is.
"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nas.devices import threads_shared
from nas.memory import give_back_freed
from nas.replay.arrangement import arranged
from nas.replay.memory import Arena, Blocks
from nas.replay.operations import (
    LIFTS,
    CannotBeRecordedError,
    in_place,
    only_views,
    refuse,
    writing,
)
from nas.replay.places import Lasting, Place
from nas.replay.streams import Streams
from nas.traceless import noise_told
from search_spaces.kernels import tape
from search_spaces.kernels.tape import Call

Result = TypeVar("Result")

NO_OPTIONS: dict[str, Any] = {}


class Recordings:
    """Records work on a CPU; a `nas.captured.Recorder`.

    A recording takes as long as some ten times the work, so that much is done as ever before: at
    the worst, where nothing is ever replayed, the whole takes twice as long.

    Args:
        streams: how many calls replays make at a time; each has its share of torch's threads, which
            is also what the work has before it is replayed.
    """

    patience = 10
    is_exact = True
    draws = True

    def __init__(self, streams: int = 1) -> None:
        self._streams = streams
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
        with threads_shared(self._streams):
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
        with threads_shared(self._streams), recording.running():
            result = work()
        streams = recording.in_streams(self._arena, self._streams)
        give_back_freed()
        return result, partial(self._replay, streams)

    def _replay(self, streams: Streams) -> None:
        with threads_shared(self._streams):
            streams.run()


class _Recording(TorchDispatchMode):
    """What is done in its context; a `search_spaces.kernels.tape.Tape`."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks = Blocks()
        self._calls: list[Call] = []
        self._costs: list[float] = []
        self._places: dict[Place, Place] = {}
        self._lasting: dict[int, Lasting] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record what is done in this context."""
        with ExitStack() as stack:
            for each in (noise_told(self._noise_called), tape.running(self), self):
                stack.enter_context(each)
            yield

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        refuse(func, args)
        if func.overloadpacket in LIFTS and self._blocks.at(args[0].data_ptr()) is None:
            raise CannotBeRecordedError(f"{func.name()} takes a value from the host")
        named = kwargs or {}
        begin = time.perf_counter()
        found = func(*args, **named)
        seconds = time.perf_counter() - begin
        if only_views(func):
            return found
        results = self._new(found, (*args, *named.values()))
        if any(each is not None for each in results):
            self._take(results)
            call = writing(func, args, named, results)
            if call is not None:
                self.called(call, seconds)
        elif func._schema.is_mutable:
            self.called(in_place(func, args, named), seconds)
        return found

    def called(self, call: Call, seconds: float) -> None:
        """Remember a call that has been made."""
        function, arguments, options, written = call
        named = self._placed(dict(options)) if options else NO_OPTIONS
        placed = Call(function, self._placed(arguments), named, self._placed(list(written)))
        self._calls.append(placed)
        self._costs.append(seconds)

    def _noise_called(
        self, function: Callable[..., object], arguments: tuple[Any, ...], named: Mapping[str, Any]
    ) -> None:
        self.called(Call(function, arguments, named, [torch.default_generator]), 0.0)

    def made(self, array: np.ndarray) -> None:
        """Remember memory of an array."""
        self._blocks.take(array, array.ctypes.data, array.nbytes)

    def in_streams(self, arena: Arena, streams: int) -> Streams:
        """What makes all calls, on memory of the arena."""
        gc.collect()
        self._places.clear()
        return arranged(self._calls, self._costs, arena, streams)

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

    def _place_of_tensor(self, tensor: Tensor) -> Place | Tensor:
        if tensor.is_conj() or tensor.is_neg():
            raise CannotBeRecordedError("a view of complex numbers changes their signs")
        if tensor.numel() == 0:
            return tensor.detach()
        form = tensor.dtype, tuple(tensor.shape), tensor.stride()
        block = self._blocks.at(tensor.data_ptr())
        if block is not None:
            return self._known(Place(True, block, tensor.data_ptr() - block.address, *form))
        lasting = self._lasting_of(tensor.untyped_storage())
        offset = int(tensor.storage_offset()) * tensor.element_size()
        return self._known(Place(True, lasting, offset, *form))

    def _place_of_array(self, array: np.ndarray) -> Place | np.ndarray:
        if array.size == 0:
            return array
        block = self._blocks.at(array.ctypes.data)
        if block is not None:
            offset = array.ctypes.data - block.address
            form = array.dtype, array.shape, array.strides
            return self._known(Place(False, block, offset, *form))
        if isinstance(_root(array), np.ndarray):
            raise CannotBeRecordedError("an array comes from where no tape has seen it")
        return array

    def _known(self, place: Place) -> Place:
        return self._places.setdefault(place, place)

    def _lasting_of(self, storage: torch.UntypedStorage) -> Lasting:
        known = self._lasting.get(storage.data_ptr())
        if known is None or known.owner() is not storage:
            known = self._lasting[storage.data_ptr()] = Lasting(weakref.ref(storage))
        return known


def _root(array: Any) -> Any:
    """What owns the memory of an array."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def _listed(found: Any) -> Sequence[Any]:
    return found if type(found) in (tuple, list) else [found]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
