"""Compiled and in torch, against a sum over edges of the library's pools and layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.kernel_choice import are_compiled
from search_spaces.mixed_pools import POOLS, Pooling, mixed_pools

TARGETS, SOURCES, C = 3, 2, 16
LAYERS = {
    "group": lambda: nn.GroupNorm(4 * SOURCES, C * SOURCES, affine=False),
    "instance": lambda: nn.InstanceNorm2d(C * SOURCES),
    "batch": lambda: nn.BatchNorm2d(C * SOURCES, affine=False),
    "none": nn.Identity,
}
CHOICES = [(tuple(POOLS), 1, True), (tuple(POOLS), 2, False), (("avg_pool_3x3",), 1, False)]
CHOICES += [((), 1, True), (("max_pool_3x3",), 2, False)]


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def _pooling(pools: Sequence[str], stride: int, identity: bool, layer: str) -> Pooling:
    return Pooling(pools, [LAYERS[layer]().double() for _ in pools], stride, identity)


def _library(x: Tensor, pooling: Pooling, shares: Tensor) -> Tensor:
    image, stride = x.flatten(3).permute(0, 3, 1, 2), pooling.stride
    maps = []
    for name, layer in zip(pooling.pools, pooling.layers, strict=True):
        if name == "max_pool_3x3":
            pooled = functional.max_pool2d(image, 3, stride, 1)
        else:
            ones = functional.pad(torch.ones_like(image), (1, 1, 1, 1))
            padded = functional.pad(image, (1, 1, 1, 1))
            sums, counts = (functional.avg_pool2d(each, 3, stride) for each in (padded, ones))
            pooled = sums / counts
        maps.append(layer(pooled))
    if pooling.identity:
        maps.append(image)
    terms = torch.stack([y.unflatten(1, (SOURCES, C)) for y in maps])
    return torch.einsum("mnschw,mts->nhwtc", terms, shares).flatten(1, 2)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("pools", "stride", "identity"), CHOICES)
@pytest.mark.parametrize("size", [(9, 6), (4, 3)])
def test_values_first_and_second_derivatives_are_those_of_the_library(
    path: str,
    layer: str,
    pools: tuple[str, ...],
    stride: int,
    identity: bool,
    size: tuple[int, int],
) -> None:
    pooling = _pooling(pools, stride, identity, layer)
    other = copy.deepcopy(pooling)
    x, shares = _random(2, *size, SOURCES, C), _random(pooling.maps, TARGETS, SOURCES)
    assert are_compiled(x, shares) == (path == "compiled")
    both = []
    for total in (mixed_pools(x, pooling, shares), _library(x, other, shares)):
        loss = total.sin().sum()
        plain = torch.autograd.grad(loss, (x, shares), retain_graph=True)
        first = torch.autograd.grad(loss, (x, shares), create_graph=True)
        along = torch.stack([slope.square().sum() for slope in first]).sum()
        both.append([total, *plain, *first, *torch.autograd.grad(along, (x, shares))])
    for one, expected in zip(*both, strict=True):
        largest = float(expected.detach().abs().max())
        torch.testing.assert_close(one, expected, rtol=1e-8, atol=1e-8 * largest)
    for one_layer, expected_layer in zip(pooling.layers, other.layers, strict=True):
        torch.testing.assert_close(one_layer.state_dict(), expected_layer.state_dict())


def test_batch_norm_goes_by_its_running_statistics_in_evaluation_mode(path: str) -> None:
    pooling = _pooling(tuple(POOLS), 1, True, "batch")
    for layer in pooling.layers:
        assert isinstance(layer, nn.BatchNorm2d)
        layer.running_mean = torch.rand(C * SOURCES, dtype=torch.float64)
        layer.running_var = torch.rand(C * SOURCES, dtype=torch.float64) + 0.5
        layer.eval()
    x, shares = _random(2, 5, 4, SOURCES, C), _random(3, TARGETS, SOURCES)
    found, expected = mixed_pools(x, pooling, shares), _library(x, pooling, shares)
    torch.testing.assert_close(found, expected)
    for slopes in zip(
        torch.autograd.grad(found.sin().sum(), (x, shares)),
        torch.autograd.grad(expected.sin().sum(), (x, shares)),
        strict=True,
    ):
        torch.testing.assert_close(*slopes)


def test_gradients_of_the_maps_or_of_the_shares_alone(path: str) -> None:
    pooling = _pooling(tuple(POOLS), 1, True, "group")
    inputs = [_random(2, 6, 5, SOURCES, C), _random(3, TARGETS, SOURCES)]
    expected = torch.autograd.grad(mixed_pools(inputs[0], pooling, inputs[1]).sin().sum(), inputs)
    for wanted, slope in zip(inputs, expected, strict=True):
        for each in inputs:
            each.requires_grad_(each is wanted)
        loss = mixed_pools(inputs[0], pooling, inputs[1]).sin().sum()
        torch.testing.assert_close(torch.autograd.grad(loss, wanted), (slope,))
