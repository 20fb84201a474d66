"""Operations write the same bits into memory that they have made before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from nas.replay.operations import CannotBeRecordedError, refuse, writing

aten = torch.ops.aten
X, Y = torch.rand(3, 4) + 0.5, torch.randn(3, 4)
MAPS, WEIGHT, SLOPE = torch.randn(2, 3, 6, 6), torch.randn(4, 3, 3, 3), torch.randn(2, 4, 4, 4)
ORDERED = MAPS.clone(memory_format=torch.channels_last)
FORM = [1, 1], [0, 0], [1, 1], False, [0, 0], 1
DOUBLE = {"dtype": torch.float64}

Given = tuple[OpOverload, tuple[Any, ...], dict[str, Any]]

OPERATIONS: dict[str, Given] = {
    "add": (aten.add.Tensor, (X, Y), {}),
    "add, scaled": (aten.add.Tensor, (X, Y), {"alpha": 2}),
    "add, a number": (aten.add.Tensor, (X, 3.0), {}),
    "mul": (aten.mul.Tensor, (X, Y), {}),
    "mul, a number": (aten.mul.Scalar, (X, 3.0), {}),
    "mul, turned": (aten.mul.Tensor, (X.t(), Y.t()), {}),
    "mul, of types": (aten.mul.Tensor, (X, Y.double()), {}),
    "compare": (aten.gt.Scalar, (X, 1.0), {}),
    "power": (aten.pow.Tensor_Scalar, (X, 2.5), {}),
    "power of a number": (aten.pow.Scalar, (2.5, X), {}),
    "sum": (aten.sum.default, (X,), {}),
    "sum over dims": (aten.sum.dim_IntList, (MAPS, [0, 2], True), {}),
    "sum, double": (aten.sum.dim_IntList, (MAPS, [0, 2]), DOUBLE),
    "mean over dims": (aten.mean.dim, (MAPS, [2, 3]), {}),
    "variance": (aten.var.correction, (MAPS, [0, 2, 3]), {"correction": 0, "keepdim": True}),
    "maximum over a dim": (aten.max.dim, (X, 1), {}),
    "sort": (aten.sort.default, (X, 1, True), {}),
    "cat": (aten.cat.default, ([X, Y], 1), {}),
    "stack": (aten.stack.default, ([X, Y], 1), {}),
    "convolution": (aten.convolution.default, (MAPS, WEIGHT, torch.randn(4), *FORM), {}),
    "convolution, no bias": (aten.convolution.default, (ORDERED, WEIGHT, None, *FORM), {}),
    "gradients of a convolution": (
        aten.convolution_backward.default,
        (SLOPE, MAPS, WEIGHT, [4], *FORM, [True, True, True]),
        {},
    ),
    "some gradients of a convolution": (
        aten.convolution_backward.default,
        (SLOPE, MAPS, WEIGHT, None, *FORM, [False, True, False]),
        {},
    ),
    "batch norm": (
        aten.native_batch_norm.default,
        (MAPS, torch.randn(3), torch.randn(3), None, None, True, 0.1, 1e-5),
        {},
    ),
    "batch norm that tracks": (
        aten.native_batch_norm.default,
        (MAPS, None, None, torch.zeros(3), torch.ones(3), True, 0.1, 1e-5),
        {},
    ),
    "batch norm in use": (
        aten.native_batch_norm.default,
        (MAPS, None, None, torch.randn(3), torch.rand(3) + 1, False, 0.1, 1e-5),
        {},
    ),
    "group norm": (
        aten.native_group_norm.default,
        (MAPS, torch.randn(3), torch.randn(3), 2, 3, 36, 3, 1e-5),
        {},
    ),
    "pool": (aten.max_pool2d_with_indices.default, (MAPS, [2, 2], [2, 2]), {}),
    "average": (aten.avg_pool2d.default, (MAPS, [3, 3], [2, 2], [1, 1], False, False), {}),
    "gradient of relu": (aten.threshold_backward.default, (X, Y, 0), {}),
    "clone": (aten.clone.default, (X,), {}),
    "clone, turned": (aten.clone.default, (X.t()[1:],), {}),
    "clone, ordered": (aten.clone.default, (MAPS,), {"memory_format": torch.channels_last}),
    "to double": (aten._to_copy.default, (X.t(),), DOUBLE),
    "to long": (aten._to_copy.default, (X * 9,), {"dtype": torch.int64}),
    "zeros": (aten.zeros.default, ([3, 4],), {}),
    "zeros like": (aten.zeros_like.default, (X,), {}),
    "new zeros": (aten.new_zeros.default, (X, [2, 5]), {}),
    "ones": (aten.ones.default, ([3, 4],), {}),
    "ones like": (aten.ones_like.default, (X.t(),), DOUBLE),
    "new ones": (aten.new_ones.default, (X, [2, 5]), {}),
    "full": (aten.full.default, ([3, 4], 5.0), {}),
    "full like": (aten.full_like.default, (X, 5.0), {}),
    "new full": (aten.new_full.default, (X, [2, 5], 5.0), {}),
    "range": (aten.arange.start_step, (1, 9, 2), {}),
    "a number": (aten.scalar_tensor.default, (5.0,), DOUBLE),
    "of each, a number": (aten._foreach_mul.Scalar, ([X, MAPS], 3.0), {}),
    "of each, a list": (aten._foreach_add.List, ([X, Y], [Y, X]), {"alpha": 2}),
    "softmax": (aten._softmax.default, (X, 1, False), {}),
    "logarithm of softmax": (aten._log_softmax.default, (MAPS, 1, False), {}),
    "mm": (aten.mm.default, (X, Y.t()), {}),
    "addmm": (aten.addmm.default, (torch.randn(3), X, Y.t()), {"alpha": 2}),
    "bmm": (aten.bmm.default, (MAPS[0], MAPS[1].transpose(1, 2)), {}),
    "chosen": (aten.index_select.default, (X, 1, torch.tensor([2, 0])), {}),
    "indexed": (aten.index.Tensor, (X, [None, torch.tensor([2, 0])]), {}),
    "gathered": (aten.gather.default, (X, 1, torch.tensor([[0], [3], [1]])), {}),
    "where": (aten.where.self, (X > 1, X, Y), {}),
    "clamp": (aten.clamp.default, (Y, None, 0.5), {}),
    "lerp": (aten.lerp.Scalar, (X, Y, 0.25), {}),
    "fft": (aten._fft_r2c.default, (X, [1], 0, True), {}),
}


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, (tuple, list)):
        return [leaf for each in tree for leaf in _leaves(each)]
    return [tree]


def _tensors(tree: Any) -> list[Tensor]:
    return [each for each in _leaves(tree) if isinstance(each, Tensor)]


def _own(tree: Any) -> Any:
    """With memory that nothing else has, and strides as they are."""
    if isinstance(tree, Tensor):
        return torch.empty_like(tree).copy_(tree)
    if isinstance(tree, (tuple, list)):
        return type(tree)(_own(each) for each in tree)
    return tree


def _results(found: Any) -> list[Any]:
    return list(found) if isinstance(found, (tuple, list)) else [found]


def _spoil(tensor: Tensor) -> None:
    if tensor.dtype == torch.bool:
        tensor.logical_not_()
    else:
        tensor.fill_(77)


def _change(tensor: Tensor) -> None:
    """Other numbers, with which what is given stays valid."""
    if tensor.is_floating_point():
        tensor.mul_(1.5).add_(0.1)


@pytest.mark.parametrize("name", OPERATIONS)
def test_results_are_written_where_they_were(name: str) -> None:
    operation, given, named = OPERATIONS[name]
    mine, theirs = _own(given), _own(given)
    results = _results(operation(*mine, **named))
    call = writing(operation, mine, named, results)
    assert call is not None
    function, told, options, _ = call
    places = [(each.data_ptr(), each.stride()) for each in _tensors(results)]
    _results(operation(*theirs, **named))
    for _ in range(2):
        for tensor in _tensors(mine) + _tensors(theirs):
            _change(tensor)
        for result in _tensors(results):
            _spoil(result)
        function(*told, **options)
        expected = _results(operation(*theirs, **named))
        for result, value in zip(results, expected, strict=True):
            if value is None:
                assert result is None
                continue
            assert (result.dtype, result.shape) == (value.dtype, value.shape)
            assert result.stride() == value.stride()
            assert torch.equal(result, value)
        for one, other in zip(_tensors(mine), _tensors(theirs), strict=True):
            assert torch.equal(one, other)
    assert places == [(each.data_ptr(), each.stride()) for each in _tensors(results)]


@pytest.mark.parametrize(
    "name",
    ["add, scaled", "mul, a number", "sum over dims", "convolution", "pool", "of each, a list"],
)
def test_operations_are_taken_with_the_variant_that_writes(name: str) -> None:
    operation, given, named = OPERATIONS[name]
    results = _results(operation(*given, **named))
    call = writing(operation, given, named, results)
    assert call is not None
    _, told, options, _ = call
    assert told is given
    into = _tensors([each for key, each in options.items() if key not in named])
    assert [id(each) for each in into] == [id(each) for each in results]


@pytest.mark.parametrize("name", ["zeros", "ones like", "clone", "to double"])
def test_what_fills_or_copies_needs_no_variant(name: str) -> None:
    operation, given, named = OPERATIONS[name]
    results = _results(operation(*given, **named))
    call = writing(operation, given, named, results)
    assert call is not None
    assert call[1][0] is results[0]
    assert not call[2]


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        (aten.empty.memory_format, ([3],)),
        (aten.empty_like.default, (X,)),
        (aten.empty_strided.default, ([3], [1])),
        (aten.new_empty.default, (X, [3])),
        (aten.new_empty_strided.default, (X, [3], [1])),
    ],
)
def test_memory_alone_needs_no_call(operation: OpOverload, given: tuple[Any, ...]) -> None:
    assert writing(operation, given, {}, [operation(*given)]) is None


class Refusing(TorchDispatchMode):
    """Lets operations pass that are not refused."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        refuse(func, args)
        return func(*args, **(kwargs or {}))


MASK = X > 1
HOST = "reads values on the host"


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (lambda: X.sum().item(), HOST),
        (lambda: bool((X > 0).all()), HOST),
        (lambda: torch.equal(X, Y), HOST),
        (lambda: X.nonzero(), HOST),
        (lambda: torch.where(MASK), HOST),
        (lambda: aten._unique2(X), HOST),
        (lambda: X.masked_select(MASK), HOST),
        (lambda: X[MASK], HOST),
        (lambda: X[:, MASK[0]], HOST),
        (lambda: aten.index.Tensor(X, [MASK.byte()]), HOST),
        (lambda: X.index_put((MASK,), torch.ones(())), HOST),
        (lambda: X.clone().index_put_((MASK,), torch.ones(())), HOST),
        (lambda: aten.index_put(X, [None, MASK[0].byte()], torch.ones(())), HOST),
    ],
)
def test_what_a_replay_would_not_do_again_is_refused(work: Callable[[], object], why: str) -> None:
    with pytest.raises(CannotBeRecordedError, match=f"^aten::.* {why}$"), Refusing():
        work()


@pytest.mark.parametrize(
    "work",
    [
        lambda: X.index_select(0, torch.tensor([0, 2])),
        lambda: X.clone().index_put_((torch.tensor([0]),), torch.ones(())),
        lambda: aten.index_put(X, [None, torch.tensor([0])], torch.ones(())),
        lambda: torch.where(MASK, X, Y).masked_fill(MASK, 0),
        lambda: torch.nn.functional.dropout(X, training=False),
        lambda: torch.zeros(2).add_(1).sum(),
    ],
)
def test_all_else_passes(work: Callable[[], Tensor]) -> None:
    with Refusing():
        found = work()
    assert torch.equal(found, work())
