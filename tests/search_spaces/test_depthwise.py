from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.depthwise import depthwise

SHAPES = [(3, 1, 1), (5, 1, 1), (7, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2), (5, 1, 2)]
"""Kernel, stride, dilation."""


def _slopes(
    convolve: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor
) -> list[Tensor]:
    """Output, gradients, and the gradients of a function of these."""
    y = convolve(x, weight)
    first = torch.autograd.grad(y.pow(3).sum(), [x, weight], create_graph=True)
    along = torch.stack([slope.square().sum() for slope in first]).sum()
    return [y, *first, *torch.autograd.grad(along, [x, weight])]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), SHAPES)
@pytest.mark.parametrize("size", [(12, 10), (9, 7), (4, 4), (2, 3), (1, 1)])
def test_it_and_its_gradients_are_those_of_the_library(
    kernel: int, stride: int, dilation: int, size: tuple[int, int]
) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    x.requires_grad_()
    weight = torch.randn(3, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    padding = dilation * (kernel - 1) // 2
    ours = _slopes(lambda x, w: depthwise(x, w, stride, dilation), x, weight)
    theirs = _slopes(
        lambda x, w: functional.conv2d(x, w, None, stride, padding, dilation, 3), x, weight
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_in_single_precision_the_gradients_are_as_near_to_the_truth_as_the_library_s() -> None:
    """The fast forms are those of the library's float32 kernels, which float64 does not take."""
    x, weight = torch.randn(2, 16, 20, 20), torch.randn(16, 1, 5, 5)

    def slope(x: Tensor, weight: Tensor, *, ours: bool) -> Tensor:
        weight = weight.clone().requires_grad_()
        x = x.contiguous(memory_format=torch.channels_last)
        library = functional.conv2d(x, weight, None, 1, 4, 2, 16)
        y = depthwise(x, weight, 1, 2) if ours else library
        (slope,) = torch.autograd.grad(y.sin().sum(), weight)
        return slope.double()

    truth = slope(x.double(), weight.double(), ours=False)
    error, theirs = (
        (slope(x, weight, ours=ours) - truth).norm() / truth.norm() for ours in (True, False)
    )
    assert error < max(1e-5, 10 * float(theirs))


def test_stride_and_dilation_together_are_refused() -> None:
    with pytest.raises(ValueError, match="stride 2 and dilation 2"):
        depthwise(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3, 3), 2, 2)


def test_what_needs_no_gradient_gets_none() -> None:
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    weight = torch.randn(2, 1, 3, 3)
    depthwise(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is None
