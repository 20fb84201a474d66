"""Compiled and in torch, against the library's convolutions of repeated maps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from search_spaces.kernel_choice import are_compiled, choose_kernels
from search_spaces.separable import Separable, separable

TARGETS, SOURCES, C = 3, 2, 16
FORMS = [(3, 1, 1), (5, 1, 1), (3, 1, 2), (5, 1, 2), (3, 2, 1), (5, 2, 1), (3, 2, 2), (5, 2, 2)]
"""Kernel, stride, dilation."""


@pytest.fixture(params=["compiled", "torch"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "compiled":
        pytest.importorskip("numba", reason="kernels need numba")
    choose_kernels(request.param)
    yield request.param
    choose_kernels("auto")


def _weights(kernel: int, targets: int = TARGETS, sources: int = SOURCES) -> tuple[Tensor, Tensor]:
    edges = targets * sources
    within = torch.randn(edges * C, 1, kernel, kernel, dtype=torch.float64)
    across = torch.randn(edges, C, C, dtype=torch.float64)
    return within.requires_grad_(), across.requires_grad_()


def _library(x: Tensor, within: Tensor, across: Tensor, form: tuple[int, int, int]) -> Tensor:
    kernel, stride, dilation = form
    image = x.flatten(3).permute(0, 3, 1, 2).repeat(1, TARGETS, 1, 1)
    padding, groups = dilation * (kernel - 1) // 2, len(within)
    between = functional.conv2d(image, within, None, stride, padding, dilation, groups)
    y = functional.conv2d(between, across.flatten(0, 1)[..., None, None], groups=len(across))
    return y.permute(0, 2, 3, 1).unflatten(3, (len(across), C))


@pytest.mark.parametrize("size", [(8, 12), (9, 7), (1, 2)])
def test_values_first_and_second_derivatives_are_those_of_the_library(
    path: str, size: tuple[int, int]
) -> None:
    x = torch.randn(2, *size, SOURCES, C, dtype=torch.float64, requires_grad=True)
    for stride in (1, 2):
        forms = [form for form in FORMS if form[1] == stride]
        weights = [_weights(kernel) for kernel, *_ in forms]
        assert are_compiled(x, *weights[0]) == (path == "compiled")
        inputs = [x, *(each for pair in weights for each in pair)]
        operations = [
            Separable(*pair, *form[1:]) for pair, form in zip(weights, forms, strict=True)
        ]
        both = []
        for results in (
            separable(x, TARGETS, operations),
            [_library(x, *pair, form) for pair, form in zip(weights, forms, strict=True)],
        ):
            loss = torch.stack([y.sin().sum() for y in results]).sum()
            plain = torch.autograd.grad(loss, inputs, retain_graph=True)
            first = torch.autograd.grad(loss, inputs, create_graph=True)
            along = torch.stack([slope.square().sum() for slope in first]).sum()
            both.append([*results, *plain, *first, *torch.autograd.grad(along, inputs)])
        for one, other in zip(*both, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("form", [(3, 1, 2), (5, 2, 1)])
def test_numerical_derivatives(path: str, form: tuple[int, int, int]) -> None:
    kernel, *stride_and_dilation = form
    within, across = _weights(kernel, 1, 1)
    x = torch.randn(1, 3, 2, 1, C, dtype=torch.float64, requires_grad=True)

    def compute(x: Tensor, within: Tensor, across: Tensor) -> Tensor:
        (y,) = separable(x, 1, [Separable(within, across, *stride_and_dilation)])
        return y

    inputs = (x, within, across)
    assert gradcheck(compute, inputs, fast_mode=True)
    assert gradgradcheck(compute, inputs, fast_mode=True)


def test_frozen_weights_keep_no_map(path: str) -> None:
    x = torch.randn(2, 6, 6, SOURCES, C, dtype=torch.float64, requires_grad=True)
    within, across = (each.detach() for each in _weights(3))
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda y: kept.append(y.numel()) or y, lambda y: y
    ):  # type: ignore[func-returns-value]
        (y,) = separable(x, TARGETS, [Separable(within, across)])
    slope = torch.randn_like(y, requires_grad=True)
    (to_x,) = torch.autograd.grad(y, x, slope, create_graph=True)
    (again,) = torch.autograd.grad(to_x.square().sum(), slope)
    assert x.numel() not in kept
    assert y.numel() not in kept
    twice = separable(2 * to_x.detach(), TARGETS, [Separable(within, across)])[0]
    torch.testing.assert_close(again, twice)
