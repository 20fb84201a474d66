from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces.cell_genotype import OPERATIONS
from search_spaces.description import Normalisation
from search_spaces.operations import (
    FactorisedReduction,
    ReluConvNorm,
    Style,
    build_operation,
)

NAMES = OPERATIONS[1:]
PLAIN = Style("none")
SEARCH = Style("batch", affine=False, pool_norm=True)


@given(
    name=st.sampled_from(NAMES),
    stride=st.sampled_from([1, 2]),
    height=st.integers(3, 17),
    width=st.integers(3, 17),
)
@settings(max_examples=60, deadline=None)
def test_sizes_are_divided_by_the_stride_and_rounded_up(
    name: str, stride: int, height: int, width: int
) -> None:
    y = build_operation(name, 4, stride, SEARCH)(torch.rand(2, 4, height, width))
    assert y.shape == (2, 4, math.ceil(height / stride), math.ceil(width / stride))


def _separable(kernel: int) -> int:
    """Parameters of one separable convolution with 6 channels and an affine norm layer."""
    return kernel**2 * 6 + 6 * 6 + 2 * 6


@pytest.mark.parametrize(
    ("name", "stride", "expected"),
    [
        ("max_pool_3x3", 1, 0),
        ("avg_pool_3x3", 2, 0),
        ("skip_connect", 1, 0),
        ("skip_connect", 2, 6 * 6 + 2 * 6),
        ("sep_conv_3x3", 1, 2 * _separable(3)),
        ("sep_conv_5x5", 2, 2 * _separable(5)),
        ("dil_conv_3x3", 1, _separable(3)),
        ("dil_conv_5x5", 2, _separable(5)),
    ],
)
def test_numbers_of_parameters(name: str, stride: int, expected: int) -> None:
    operation = build_operation(name, 6, stride, Style())
    assert sum(p.numel() for p in operation.parameters()) == expected


def _field(operation: nn.Module) -> set[int]:
    """Offsets along a row of the inputs that an output depends on."""
    x = torch.rand(1, 1, 21, 21, dtype=torch.float64, requires_grad=True)
    for parameter in operation.parameters():
        nn.init.constant_(parameter, 0.5)
    operation.double()(x)[0, 0, 10, 10].backward()
    assert x.grad is not None
    used = x.grad[0, 0] != 0
    columns = {int(column) - 10 for column in used.any(0).nonzero()}
    assert columns == {int(row) - 10 for row in used.any(1).nonzero()}
    return columns


@pytest.mark.parametrize(
    ("name", "offsets"),
    [
        ("avg_pool_3x3", {-1, 0, 1}),
        ("skip_connect", {0}),
        ("sep_conv_3x3", {-2, -1, 0, 1, 2}),
        ("sep_conv_5x5", set(range(-4, 5))),
        ("dil_conv_3x3", {-2, 0, 2}),
        ("dil_conv_5x5", {-4, -2, 0, 2, 4}),
    ],
)
def test_receptive_fields(name: str, offsets: set[int]) -> None:
    assert _field(build_operation(name, 1, 1, PLAIN)) == offsets


def test_max_pooling_takes_the_largest_of_nine() -> None:
    x = torch.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 1
    y = build_operation("max_pool_3x3", 1, 1, PLAIN)(x)[0, 0]
    expected = torch.zeros(7, 7)
    expected[2:5, 2:5] = 1
    assert torch.equal(y, expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_average_pooling_leaves_padding_out(stride: int) -> None:
    y = build_operation("avg_pool_3x3", 2, stride, PLAIN)(torch.ones(1, 2, 5, 8))
    assert torch.equal(y, torch.ones_like(y))


@pytest.mark.parametrize("name", ["max_pool_3x3", "avg_pool_3x3"])
def test_a_norm_layer_stands_behind_pooling_where_the_style_says_so(name: str) -> None:
    x = 7 + torch.randn(4, 3, 9, 9)
    with_norm = build_operation(name, 3, 1, Style(pool_norm=True))(x)
    assert with_norm.mean((0, 2, 3)).abs().max() < 1e-5
    assert build_operation(name, 3, 1, Style(pool_norm=False))(x).mean() > 6


@pytest.mark.parametrize("name", [n for n in NAMES if "conv" in n])
@pytest.mark.parametrize("build", ["operation", "input", "reduction"])
def test_convolutions_see_rectified_maps(name: str, build: str) -> None:
    torch.manual_seed(0)
    module = {
        "operation": build_operation(name, 3, 1, PLAIN),
        "input": ReluConvNorm(3, 3, PLAIN),
        "reduction": FactorisedReduction(3, 3, PLAIN),
    }[build]
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(module(x), module(x.relu()))
    assert not torch.equal(module(x), module(x.abs()))


def _pass_through(reduction: FactorisedReduction) -> None:
    """Make both convolutions of a reduction from 1 to 2 channels the identity."""
    for convolution in (reduction.even, reduction.odd):
        assert isinstance(convolution, nn.Conv2d)
        nn.init.ones_(convolution.weight)
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)


def _shifted(x: Tensor) -> Tensor:
    """Every pixel replaced by its lower right neighbour, by zero beyond the border."""
    y = torch.zeros_like(x)
    y[..., :-1, :-1] = x[..., 1:, 1:]
    return y


@pytest.mark.parametrize("size", [(8, 8), (7, 8), (8, 7), (9, 9), (1, 1)])
def test_the_factorised_reduction_keeps_even_and_odd_pixels(size: tuple[int, int]) -> None:
    reduction = FactorisedReduction(1, 2, PLAIN)
    _pass_through(reduction)
    x = 1 + torch.rand(1, 1, *size)
    y = reduction(x)
    assert torch.equal(y[:, :1], x[..., ::2, ::2])
    assert torch.equal(y[:, 1:], _shifted(x)[..., ::2, ::2])


def test_the_factorised_reduction_makes_any_number_of_channels() -> None:
    assert FactorisedReduction(4, 5, Style())(torch.rand(2, 4, 6, 6)).shape == (2, 5, 3, 3)


def test_there_is_no_module_for_none() -> None:
    with pytest.raises(KeyError):
        build_operation("none", 3, 1, PLAIN)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride", [1, 2])
def test_second_derivatives_exist(name: str, stride: int) -> None:
    torch.manual_seed(0)
    operation = build_operation(name, 2, stride, SEARCH).double()
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(operation, x, nondet_tol=1e-9)


@pytest.mark.parametrize("kind", [ReluConvNorm, FactorisedReduction])
@pytest.mark.parametrize("normalisation", ["batch", "instance", "group", "spectral", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_what_brings_inputs_is_the_same_by_kernels(
    kind: type[nn.Module], normalisation: Normalisation, training: bool, path: str
) -> None:
    """Values, gradients and running statistics of layers without scale, at an odd size."""
    torch.manual_seed(0)
    bring = kind(32, 16, Style(normalisation, affine=False)).double().train(training)
    with torch.no_grad():
        for _ in range(2 if normalisation == "batch" else 0):
            bring.train()(torch.randn(2, 32, 5, 6, dtype=torch.float64) + 1)
    bring.train(training)
    plain = copy.deepcopy(bring)
    plain.affine = True  # type: ignore[assignment]
    x = torch.randn(3, 32, 7, 6, dtype=torch.float64, requires_grad=True)
    found, truth = bring(x), plain(x)
    assert torch.allclose(found, truth, atol=1e-12)
    slope = torch.randn_like(truth)
    both = (
        torch.autograd.grad(y, [x, *network.parameters()], slope)
        for y, network in ((found, bring), (truth, plain))
    )
    for one, other in zip(*both, strict=True):
        assert torch.allclose(one, other, atol=1e-11)
    for one, other in zip(bring.buffers(), plain.buffers(), strict=True):
        assert torch.allclose(one, other, atol=1e-12)
