"""Compiled and in torch, against a sum over edges of the library's convolutions and layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.kernel_choice import are_compiled
from search_spaces.mixed_separable import Operation, mixed_separable
from search_spaces.separable import Separable

TARGETS, SOURCES, C = 3, 2, 16
EDGES = TARGETS * SOURCES
FORMS = {"sep_3": (3, 1, 2), "sep_5": (5, 1, 2), "dil_3": (3, 2, 1), "dil_5": (5, 2, 1)}
"""Kernel, dilation, number of convolutions."""

Layer = Callable[[], nn.Module]
LAYERS: dict[str, Layer] = {
    "group": lambda: nn.GroupNorm(4 * EDGES, C * EDGES, affine=False),
    "instance": lambda: nn.InstanceNorm2d(C * EDGES),
    "batch": lambda: nn.BatchNorm2d(C * EDGES, affine=False),
    "none": nn.Identity,
}


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def _operation(name: str, stride: int, layer: Layer, bias: bool) -> Operation:
    kernel, dilation, count = FORMS[name]
    convolutions = [
        Separable(
            _random(EDGES * C, 1, kernel, kernel),
            _random(EDGES * C, C, 1, 1),
            _random(EDGES * C) if bias else None,
            1 if second else stride,
            dilation,
        )
        for second in range(count)
    ]
    return Operation(tuple(convolutions), tuple(layer().double() for _ in range(count)))


def _weights(operations: Sequence[Operation]) -> list[Tensor]:
    parts = [one for each in operations for one in each.convolutions]
    weights = [weight for one in parts for weight in (one.within, one.across, one.bias)]
    return [weight for weight in weights if weight is not None]


def _library(x: Tensor, operations: Sequence[Operation], shares: Tensor) -> Tensor:
    image = x.flatten(3).permute(0, 3, 1, 2).repeat(1, TARGETS, 1, 1)
    total: Tensor | None = None
    for operation, share in zip(operations, shares, strict=True):
        y = image
        for one, layer in zip(operation.convolutions, operation.layers, strict=True):
            padding = one.dilation * (one.within.shape[2] - 1) // 2
            y = functional.conv2d(
                y.relu(), one.within, None, one.stride, padding, one.dilation, len(one.within)
            )
            y = layer(functional.conv2d(y, one.across, one.bias, groups=EDGES))
        own = torch.einsum("ntschw,ts->nhwtc", y.unflatten(1, (TARGETS, SOURCES, C)), share)
        total = own if total is None else total + own
    assert total is not None
    return total.flatten(1, 2)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("names", [("sep_3", "dil_5"), ("sep_5", "dil_3", "sep_3"), ("dil_3",)])
def test_values_first_and_second_derivatives_are_those_of_the_library(
    path: str, layer: str, stride: int, names: tuple[str, ...]
) -> None:
    operations = [_operation(each, stride, LAYERS[layer], layer == "none") for each in names]
    x, shares = _random(2, 9, 6, SOURCES, C), _random(len(names), TARGETS, SOURCES)
    inputs = [x, shares, *_weights(operations)]
    assert are_compiled(*inputs) == (path == "compiled")
    others = copy.deepcopy([each.layers for each in operations])
    doubles = [Operation(o.convolutions, own) for o, own in zip(operations, others, strict=True)]
    both = []
    for total in (mixed_separable(x, operations, shares), _library(x, doubles, shares)):
        loss = total.sin().sum()
        plain = torch.autograd.grad(loss, inputs, retain_graph=True)
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        along = torch.stack([slope.square().sum() for slope in first]).sum()
        both.append([total, *plain, *first, *torch.autograd.grad(along, inputs)])
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-8, atol=1e-8 * float(other.detach().abs().max())
        )
    running = [
        [value for own in layers for value in own.state_dict().values()]
        for layers in (_flat(each.layers for each in operations), _flat(others))
    ]
    for one, other in zip(*running, strict=True):
        torch.testing.assert_close(one, other)


def _flat(layers: Iterator[tuple[nn.Module, ...]] | list[tuple[nn.Module, ...]]) -> list[nn.Module]:
    return [each for own in layers for each in own]


def test_any_part_of_the_gradients_may_be_asked_for(path: str) -> None:
    operations = [_operation(each, 1, LAYERS["group"], bias=True) for each in ("sep_3", "dil_5")]
    x, shares = _random(2, 6, 5, SOURCES, C), _random(2, TARGETS, SOURCES)
    inputs = [x, shares, *_weights(operations)]
    expected = torch.autograd.grad(mixed_separable(x, operations, shares).sin().sum(), inputs)
    for wanted, slope in zip(inputs, expected, strict=True):
        for each in inputs:
            each.requires_grad_(each is wanted)
        loss = mixed_separable(x, operations, shares).sin().sum()
        torch.testing.assert_close(torch.autograd.grad(loss, wanted), (slope,))


def test_what_stands_before_the_norm_layers_is_all_that_is_kept() -> None:
    pytest.importorskip("numba", reason="kernels need numba")
    names = ("sep_3", "sep_5", "dil_3")
    operations = [_operation(each, 1, LAYERS["group"], bias=False) for each in names]
    x, shares = _random(2, 16, 16, SOURCES, C), _random(3, TARGETS, SOURCES)
    kept: list[int] = []

    def keep(y: Tensor) -> Tensor:
        kept.append(y.numel())
        return y

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda y: y):
        mixed_separable(x, operations, shares)
    assert sorted(kept)[-3:] == [x.numel(), 2 * TARGETS * x.numel(), 3 * TARGETS * x.numel()]
