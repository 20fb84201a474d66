"""What a tape is told does again what was done with arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from search_spaces.kernels import tape
from search_spaces.kernels.tape import (
    Call,
    CannotBeTapedError,
    Taped,
    call,
    dense,
    running,
    taped,
)

Expression = Callable[[np.ndarray, np.ndarray], np.ndarray]
GARBAGE = 77


class Listed:
    """A tape that lists calls, and arrays that are new."""

    def __init__(self) -> None:
        self.new: list[np.ndarray] = []
        self.calls: list[Call] = []

    def made(self, array: np.ndarray) -> None:
        assert type(array) is np.ndarray
        self.new.append(array)

    def called(self, call: Call, seconds: float) -> None:
        assert not any(type(each) is Taped for each in _arrays(call))
        assert seconds >= 0
        self.calls.append(call)

    def replay(self) -> None:
        """On garbage, so that what no call writes is seen; none writes what it does not tell."""
        for array in self.new:
            array.fill(GARBAGE)
        for again in self.calls:
            written = _arrays(again.written)
            kept = [each for each in _arrays(again) if not _any_shared(each, written)]
            before = [each.copy() for each in kept]
            again.function(*again.arguments, **again.options)
            for one, other in zip(kept, before, strict=True):
                np.testing.assert_array_equal(one, other)


def _arrays(tree: Any) -> list[np.ndarray]:
    return [each for each in _leaves(tree) if isinstance(each, np.ndarray)]


def _any_shared(array: np.ndarray, others: list[np.ndarray]) -> bool:
    return any(np.shares_memory(array, other) for other in others)


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = [*tree.values()]
    if isinstance(tree, (tuple, list)):
        return [leaf for each in tree for leaf in _leaves(each)]
    return [tree]


def _draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((3, 4)), generator.standard_normal((3, 4))


def _into(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    result = np.empty_like(x)
    returned = np.multiply(x, y, out=result)
    total: np.ndarray = returned + result
    return total


def _raised(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x += y
    x[1:] -= 2
    return x


def _raised_result(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total: np.ndarray = x * 2
    total += y
    total **= 2
    return total


def _reduced_into(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = np.empty(4, like=x)
    np.add.reduce(x, axis=0, out=total)
    product: np.ndarray = total * y
    return product


def _parts(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    result = np.empty((2, 3, 4), like=x)
    result[0] = x
    result[1, :, ::2] = y[:, 1::2] * 2
    result[1, :, 1::2] = 7
    result[1, 0] = [1, 2, 3, 4]
    return result


def _part_of_given(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x.T[1] = y[:, 0]
    return x


def _filled(function: Any, shape: tuple[int, ...]) -> Expression:
    """Numbers that are written over, so that they have to be filled anew."""

    def expression(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total: np.ndarray = function(shape, np.float32, like=x)
        total += y
        return total

    return expression


def _filled_alike(function: Any) -> Expression:
    def expression(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total: np.ndarray = function(x)
        total += y
        return total

    return expression


def _through_views(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    result: np.ndarray = x * 1
    result.reshape(2, 6).swapaxes(0, 1)[3:] *= 3
    result[::-1, ::-1][0] += y[0]
    return result


EXPRESSIONS: dict[str, Expression] = {
    "function of one": lambda x, y: np.exp(x),
    "functions of two": lambda x, y: -x * y + 2,
    "numbers first": lambda x, y: 1 / (2 + np.abs(x)),
    "comparison": lambda x, y: x > y,
    "product of matrices": lambda x, y: x @ y.T,
    "turned": lambda x, y: x.T + y.T,
    "out": _into,
    "in place, on what is given": _raised,
    "in place, on a result": _raised_result,
    "where": lambda x, y: np.add(x, 1, where=y > 0, out=np.zeros((3, 4), like=x)),
    "sum over an axis": lambda x, y: x.sum(0) + y.sum(axis=1, keepdims=True),
    "sum over axes": lambda x, y: (x * y).sum(axis=(0, 1)),
    "mean": lambda x, y: x.mean(1),
    "maximum": lambda x, y: x.max(axis=0),
    "reduce": lambda x, y: np.add.reduce(x, axis=1),
    "reduce, out": _reduced_into,
    "stack": lambda x, y: np.stack([x, y * 2], axis=1),
    "stack of a tuple": lambda x, y: np.stack((y, x)).sum(0),
    "concatenate": lambda x, y: np.concatenate([x, y])[1:4],
    "repeat": lambda x, y: np.repeat(x, 2, axis=1),
    "where of three": lambda x, y: np.where(x > 0, x, y),
    "dense, of what is": lambda x, y: dense(x),
    "dense, of what is turned": lambda x, y: dense(x.T),
    "dense, of what is turned and computed": lambda x, y: dense((x * 2).T[1:]) + 1,
    "dense, of what is reversed": lambda x, y: dense(x[::-1, ::-1]),
    "parts": _parts,
    "a part of what is given": _part_of_given,
    "views": _through_views,
    "a view": lambda x, y: x.reshape(2, 6).swapaxes(0, 1)[1:],
    "zeros": _filled(np.zeros, (3, 4)),
    "zeros, of another shape": _filled(np.zeros, (2, 3, 4)),
    "ones": _filled(np.ones, (3, 4)),
    "zeros alike": _filled_alike(np.zeros_like),
    "ones alike": _filled_alike(np.ones_like),
    "full": lambda x, y: np.full((3, 4), 5.0, like=x) + y,
}

every_expression = pytest.mark.parametrize("name", EXPRESSIONS)


def _recorded(expression: Expression, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, Listed]:
    told = Listed()
    with running(told):
        return expression(taped(x), taped(y)), told


@every_expression
def test_numbers_are_those_without_a_tape(name: str) -> None:
    expected = EXPRESSIONS[name](*_draw(1))
    found, _ = _recorded(EXPRESSIONS[name], *_draw(1))
    assert type(found) is Taped
    assert (found.shape, found.dtype) == (np.shape(expected), expected.dtype)
    np.testing.assert_array_equal(found, expected)


@every_expression
def test_a_replay_computes_with_other_numbers_in_the_same_memory(name: str) -> None:
    given = _draw(1)
    found, told = _recorded(EXPRESSIONS[name], *given)
    for seed in (2, 3):
        for array, values in zip(given, _draw(seed), strict=True):
            array[...] = values
        told.replay()
        np.testing.assert_array_equal(found, EXPRESSIONS[name](*_draw(seed)))


@every_expression
def test_results_have_memory_that_a_tape_knows(name: str) -> None:
    given = _draw(1)
    found, told = _recorded(EXPRESSIONS[name], *given)
    plain = found.view(np.ndarray)
    assert any(np.may_share_memory(plain, each) for each in (*given, *told.new))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.reshape(2, 6),
        lambda x: x.swapaxes(0, 1)[1:],
        lambda x: np.swapaxes(x, 0, 1),
        lambda x: dense(x),
        lambda x: np.empty((2, 3), like=x),
        lambda x: np.empty_like(x),
    ],
)
def test_views_and_empty_memory_need_no_calls(view: Callable[[np.ndarray], np.ndarray]) -> None:
    _, told = _recorded(lambda x, y: view(x), *_draw(1))
    assert not told.calls


def test_a_dense_array_is_itself() -> None:
    x, _ = _draw(1)
    found, told = _recorded(lambda x, y: dense(x), x, x)
    assert not told.new
    assert found.ctypes.data == x.ctypes.data
    assert dense(x) is x
    assert dense(x.T).flags.c_contiguous


def test_each_result_is_new_once() -> None:
    _, told = _recorded(lambda x, y: dense((x + y).T) * np.zeros_like(y).T, *_draw(1))
    assert [each.shape for each in told.new] == [(3, 4), (4, 3), (3, 4), (4, 3)]
    assert len(told.calls) == 4


def test_memory_that_is_written_into_is_not_new() -> None:
    _, told = _recorded(lambda x, y: np.sum(x, axis=0, out=np.empty(4, like=x)), *_draw(1))
    assert len(told.new) == 1


def test_a_function_may_return_a_number() -> None:
    x, y = _draw(1)
    assert _recorded(lambda x, y: np.sum(x), x, y)[0] == x.sum()


def test_calls_are_told_with_plain_arrays_also_in_lists_and_tuples() -> None:
    x, y = _draw(1)
    seen: list[Any] = []
    told = Listed()
    with running(told):
        given = taped(x), [taped(y), 3], (taped(x), (taped(y),))
        call(lambda *given: seen.append(given), given, [taped(y)])
    assert len(seen) == len(told.calls) == 1
    assert np.shares_memory(told.calls[0].written[0], y)
    assert all(type(each) in (np.ndarray, int) for each in _leaves(seen))
    assert np.shares_memory(seen[0][0], x)


def test_without_a_tape_arrays_are_themselves_and_calls_are_made() -> None:
    x, _ = _draw(1)
    assert taped(x) is x
    seen: list[tuple[Any, ...]] = []
    call(lambda *given: seen.append(given), (x, 2), [])
    assert len(seen) == 1
    assert seen[0][0] is x


def test_what_is_kept_of_a_tape_computes_behind_it() -> None:
    x, y = _draw(1)
    found, told = _recorded(lambda x, y: x + y, x, y)
    calls = len(told.calls)
    found *= 2
    np.testing.assert_array_equal(np.stack([found, np.zeros_like(found)])[0], 2 * (x + y))
    assert len(told.calls) == calls


def test_tapes_nest_and_are_left_after_errors() -> None:
    outer, inner = Listed(), Listed()
    x, _ = _draw(1)
    with running(outer):
        with pytest.raises(ValueError, match="boom"), running(inner):
            _ = taped(x) + 1
            raise ValueError("boom")
        _ = taped(x) * 2
    assert [each.function for each in inner.calls] == [np.add.__call__]
    assert [each.function for each in outer.calls] == [np.multiply.__call__]
    assert tape._PRESENT.tape is None
    assert taped(x) is x


def test_a_call_that_fails_is_not_told() -> None:
    def fail(x: np.ndarray) -> None:
        raise ValueError("boom")

    told = Listed()
    with running(told), pytest.raises(ValueError, match="boom"):
        call(fail, (taped(_draw(1)[0]),), [])
    assert not told.calls


@pytest.mark.parametrize("threads", [1, 2])
def test_tasks_in_threads_are_told_as_one_call(threads: int) -> None:
    pytest.importorskip("numba", reason="kernels need numba")
    from search_spaces.kernels.compiling import in_threads

    shares: list[tuple[int, int]] = []

    def double(x: np.ndarray, out: np.ndarray, begin: int, end: int) -> None:
        assert type(x) is type(out) is np.ndarray
        shares.append((begin, end))
        out[begin:end] = 2 * x[begin:end]

    x = np.arange(5.0)
    told = Listed()
    with running(told):
        given = taped(x)
        found = np.empty_like(given)
        in_threads(double, (given, found), [found], 5, threads)
    assert len(told.calls) == 1
    np.testing.assert_array_equal(found, 2 * x)
    x[...] = [5, 1, -2, 8, 0]
    shares.clear()
    told.replay()
    np.testing.assert_array_equal(found, 2 * x)
    assert sorted(shares) == ([(0, 5)] if threads == 1 else [(0, 2), (2, 5)])


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x[0, 0],
        lambda x: x[0, 0:1].item(),
        lambda x: float(x.sum()),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: x.sort(),
        lambda x: np.divmod(x, 2),
        lambda x: np.add.at(x, (0, 0), 1),
    ],
)
def test_what_no_tape_is_told_is_refused(work: Callable[[np.ndarray], object]) -> None:
    with running(Listed()), pytest.raises(CannotBeTapedError):
        work(taped(_draw(1)[0]))


def test_what_returns_nothing_writes_into_what_it_is_given() -> None:
    x, y = _draw(1)
    told = Listed()
    with running(told):
        np.copyto(taped(x), taped(y) * 2)
    y += 1
    told.replay()
    np.testing.assert_array_equal(x, y * 2)


def test_one_number_everywhere_is_told() -> None:
    x, _ = _draw(1)
    told = Listed()
    with running(told):
        taped(x).fill(3)
    x[...] = 0
    told.replay()
    assert (x == 3).all()
