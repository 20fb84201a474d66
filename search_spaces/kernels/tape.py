"""Arrays that tell a tape what is done with them, so that it can be done again without Python.

While a tape runs, `taped` arrays stand for plain ones. Functions of numpy and kernels compute with
them as ever, and each of these calls is told to the tape, as one that writes its result into given
memory. Views are not told: their memory stays where it is.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np


class Call(NamedTuple):
    """What can be done again: a function, and what it is called with.

    Attributes:
        function: depends on its arguments alone.
        arguments: by their places.
        options: arguments by their names.
        written: of what it is given, what it writes into.
    """

    function: Callable[..., object]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    written: Sequence[Any]


class Tape(Protocol):
    """Is told what is done with arrays."""

    def made(self, array: np.ndarray) -> None:
        """This array has memory of its own, and it is new."""

    def called(self, call: Call, seconds: float) -> None:
        """A call was made, and took so long. Arrays, also those in tuples and lists, are plain."""


@dataclass
class _Present:
    tape: Tape | None = None


_PRESENT = _Present()


@contextmanager
def running(tape: Tape) -> Iterator[None]:
    """Tell this tape what is done with arrays that are taped in this context."""
    before, _PRESENT.tape = _PRESENT.tape, tape
    try:
        yield
    finally:
        _PRESENT.tape = before


def taped(array: np.ndarray) -> np.ndarray:
    """The same memory; watched, if a tape runs."""
    return array if _PRESENT.tape is None else array.view(Taped)


def call(
    function: Callable[..., object], arguments: tuple[Any, ...], written: Sequence[np.ndarray]
) -> None:
    """Call what depends on its arguments alone, and writes into some of them alone."""
    if _PRESENT.tape is None:
        function(*arguments)
    else:
        _call(function, arguments, {}, written)


def dense(array: np.ndarray) -> np.ndarray:
    """The numbers in order, beside each other; the same memory if they are so already."""
    return np.ascontiguousarray(array, like=array)


class CannotBeTapedError(RuntimeError):
    """Something was done with a taped array that no tape is told."""


class Taped(np.ndarray):
    """An array that is watched.

    Raises:
        CannotBeTapedError: a number of it is read, or it is changed by what writes no arrays.
    """

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Elementwise functions and their sums."""
        if method == "at" or ufunc.nout > 1:
            raise CannotBeTapedError(f"{ufunc.__name__}.{method} writes no single array")
        compute = getattr(ufunc, method)
        if out is not None:
            _call(compute, inputs, {"out": out[0], **options}, out)
            return out[0]
        given, begin = _plain(inputs), time.perf_counter()
        result = np.asarray(compute(*given, **options))
        again = Call(compute, given, {"out": result, **options}, [result])
        return _new(result, again, time.perf_counter() - begin)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """All other functions; what they return is new, or a view of what they are given."""
        given, options = _plain(args), {name: _plain(each) for name, each in kwargs.items()}
        if options.get("out") is not None:
            _call(function, given, options, [options["out"]])
            return kwargs["out"]
        begin = time.perf_counter()
        found = function(*given, **options)
        seconds = time.perf_counter() - begin
        if found is None:
            _tell(Call(function, given, options, given), seconds)
            return None
        result = np.asarray(found)
        if any(np.may_share_memory(result, each) for each in given if isinstance(each, np.ndarray)):
            return result.view(Taped)
        return _new(result, _writing(function, given, options, result), seconds)

    def __getitem__(self, key: Any) -> Any:
        """Parts, which are views."""
        found = super().__getitem__(key)
        if not isinstance(found, np.ndarray):
            _refuse("[]")
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assignments to parts."""
        _call(operator.setitem, (self, key, value), {}, [self])

    def fill(self, value: Any) -> None:
        """One number everywhere."""
        _call(np.ndarray.fill, (self, value), {}, [self])


def _refuse(name: str) -> None:
    if _PRESENT.tape is not None:
        raise CannotBeTapedError(f"{name} of an array reads or changes numbers untold")


def _untold(name: str) -> Callable[..., Any]:
    own = getattr(np.ndarray, name)

    def method(self: Taped, *given: Any, **options: Any) -> Any:
        _refuse(name)
        return own(self.view(np.ndarray), *given, **options)

    return method


READ = ("item", "tolist", "tobytes", "__float__", "__int__", "__bool__", "__index__", "__complex__")
CHANGE = ("sort", "partition", "put", "setfield", "byteswap")
for _name in (*READ, *CHANGE):
    setattr(Taped, _name, _untold(_name))


FILLED = {np.zeros: 0, np.zeros_like: 0, np.ones: 1, np.ones_like: 1}


def _writing(function: Any, given: Any, options: Any, result: np.ndarray) -> Call | None:
    """A call that writes what a function returned into its memory; None if it wrote nothing."""
    if function in (np.empty, np.empty_like):
        return None
    if function in FILLED:
        return Call(np.ndarray.fill, (result, FILLED[function]), {}, [result])
    if function is np.ascontiguousarray:
        return Call(np.copyto, (result, given[0]), {}, [result])
    return Call(_write, (result, function, given, options), {}, [result])


def _write(result: np.ndarray, function: Any, given: Any, options: Any) -> None:
    result[...] = function(*given, **options)


def _call(
    function: Callable[..., object],
    arguments: tuple[Any, ...],
    options: Mapping[str, Any],
    written: Sequence[np.ndarray],
) -> None:
    given, named = _plain(arguments), {name: _plain(each) for name, each in options.items()}
    begin = time.perf_counter()
    function(*given, **named)
    again = Call(function, given, named, [_plain(each) for each in written])
    _tell(again, time.perf_counter() - begin)


def _tell(call: Call, seconds: float) -> None:
    if _PRESENT.tape is not None:
        _PRESENT.tape.called(call, seconds)


def _new(result: np.ndarray, again: Call | None, seconds: float) -> np.ndarray:
    """A result, watched, and the call that would have written it into memory, if one had to."""
    if _PRESENT.tape is not None:
        _PRESENT.tape.made(result)
        if again is not None:
            _PRESENT.tape.called(again, seconds)
    return result.view(Taped)


def _plain(tree: Any) -> Any:
    """Without watches."""
    if type(tree) is Taped:
        return tree.view(np.ndarray)
    if type(tree) in (tuple, list):
        return type(tree)(_plain(each) for each in tree)
    return tree
