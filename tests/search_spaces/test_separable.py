"""Against the library's convolutions of repeated maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from search_spaces.separable import Separable, separable

TARGETS, SOURCES, C = 3, 2, 4
FORMS = [(3, 1, 1), (5, 1, 1), (3, 1, 2), (5, 1, 2), (3, 2, 1), (5, 2, 1), (3, 2, 2), (5, 2, 2)]
"""Kernel, stride, dilation."""


def _convolution(form: tuple[int, int, int], edges: int, bias: bool) -> Separable:
    kernel, stride, dilation = form
    shapes = [(edges * C, 1, kernel, kernel), (edges * C, C, 1, 1), (edges * C,)]
    within, across, offset = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes
    )
    return Separable(within, across, offset if bias else None, stride, dilation)


def _library(x: Tensor, convolution: Separable) -> Tensor:
    within, across, bias = convolution.within, convolution.across, convolution.bias
    stride, dilation = convolution.stride, convolution.dilation
    image = x.flatten(3).permute(0, 3, 1, 2).repeat(1, TARGETS, 1, 1)
    padding, groups = dilation * (within.shape[2] - 1) // 2, len(within)
    between = functional.conv2d(image, within, None, stride, padding, dilation, groups)
    edges = len(across) // C
    y = functional.conv2d(between, across, bias, groups=edges)
    return y.permute(0, 2, 3, 1).unflatten(3, (edges, C))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(8, 12), (9, 7), (1, 2)])
def test_values_first_and_second_derivatives_are_those_of_the_library(
    size: tuple[int, int], form: tuple[int, int, int], bias: bool
) -> None:
    x = torch.randn(2, *size, SOURCES, C, dtype=torch.float64, requires_grad=True)
    convolution = _convolution(form, TARGETS * SOURCES, bias)
    inputs = [x, convolution.within, convolution.across]
    both = []
    for y in (separable(x, TARGETS, convolution), _library(x, convolution)):
        first = torch.autograd.grad(y.sin().sum(), inputs, create_graph=True)
        along = torch.stack([slope.square().sum() for slope in first]).sum()
        both.append([y, *first, *torch.autograd.grad(along, inputs)])
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("form", [(3, 1, 2), (5, 2, 1)])
def test_numerical_derivatives(form: tuple[int, int, int]) -> None:
    given = _convolution(form, 1, bias=False)
    x = torch.randn(1, 3, 2, 1, C, dtype=torch.float64, requires_grad=True)

    def compute(x: Tensor, within: Tensor, across: Tensor) -> Tensor:
        return separable(x, 1, Separable(within, across, None, *form[1:]))

    inputs = (x, given.within, given.across)
    assert gradcheck(compute, inputs, fast_mode=True)
    assert gradgradcheck(compute, inputs, fast_mode=True)
