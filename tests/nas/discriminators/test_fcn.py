from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.discriminators.fcn import FCN


def test_parameters_in_closed_form() -> None:
    channels = [4, 64, 128, 256, 512]
    encoder = sum(16 * a * b + b for a, b in pairwise(channels))
    decoder = sum(9 * a * b + b for a, b in pairwise([512, 256, 128, 64, 3]))
    with torch.device("meta"):
        assert parameters(FCN(4, 3)) == encoder + decoder


def test_channels_grow_eightfold_at_most() -> None:
    widths = [2, 4, 8, 16, 16]
    encoder = sum(16 * a * b + b for a, b in pairwise([1, *widths]))
    decoder = sum(9 * a * b + b for a, b in pairwise([*reversed(widths), 1]))
    assert parameters(FCN(1, width=2, depth=5)) == encoder + decoder


@pytest.mark.parametrize("depth", [1, 4, 5])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (65, 97), (63, 130)])
def test_one_verdict_per_pixel(depth: int, size: tuple[int, int]) -> None:
    network = FCN(3, width=1, depth=depth)
    assert network(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_each_convolution_halves_the_size() -> None:
    network = FCN(1, width=1)
    sizes: list[tuple[int, int]] = []
    for stage in network.encoder:
        stage.register_forward_hook(lambda *call: sizes.append(call[-1].shape[-2:]))
    network(torch.rand(1, 1, 48, 100))
    assert sizes == [(24, 50), (12, 25), (6, 12), (3, 6)]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_verdicts_stand_where_their_pixels_do(depth: int) -> None:
    """Averages of a ramp, bilinearly enlarged, are that ramp."""
    network = FCN(1, width=1, depth=depth)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_()
            if name.endswith("weight") and name.startswith("encoder"):
                parameter[:, 0] = 1 / 16
            elif name.endswith("weight"):
                parameter[:, 0, 1, 1] = 1.0
    across = 10 + torch.arange(128.0).expand(1, 1, 96, 128)
    inside = (..., slice(32, 64), slice(32, 96))
    torch.testing.assert_close(network(across)[inside], across[inside])
    down = 10 + torch.arange(128.0)[:, None].expand(1, 1, 128, 96)
    inside = (..., slice(32, 96), slice(32, 64))
    torch.testing.assert_close(network(down)[inside], down[inside])


def test_nothing_bypasses_the_narrowest_map() -> None:
    network = FCN(1, width=2)
    last = network.encoder[-1]
    assert isinstance(last, nn.Sequential)
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.zero_()
    assert torch.equal(network(torch.rand(1, 1, 48, 48)), network(torch.rand(1, 1, 48, 48)))


def test_layers_are_convolutions_with_leaky_relu_of_slope_02() -> None:
    network = FCN(1, width=2, depth=2, normalisation="batch")
    layers = [layer for layer in network.modules() if not list(layer.children())]
    unit = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert [type(layer) for layer in layers] == unit * 3 + [nn.Conv2d]
    head = layers[-1]
    assert isinstance(head, nn.Conv2d)
    assert head.bias is not None
    assert [each.negative_slope for each in layers if isinstance(each, nn.LeakyReLU)] == [0.2] * 3


def test_learns_which_pixels_are_wrong() -> None:
    """Discs with a square cut out: the verdict on the square differs from the rest."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    maps, right = torch.zeros(4, 1, 64, 64), torch.ones(4, 1, 64, 64)
    for index in range(4):
        disc = (rows - 32).square() + (columns - 32).square() < 28**2
        top, left = 16 + 6 * index, 34 - 6 * index
        right[index, 0, top : top + 14, left : left + 14] = 0
        maps[index, 0] = disc * right[index, 0]
    network = FCN(1, width=8)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(network(maps), right)
        loss.backward()
        optimizer.step()
    verdicts = network(maps) > 0
    overlap = (~verdicts & (right == 0)).sum() / (~verdicts | (right == 0)).sum()
    assert float(overlap) > 0.7


@pytest.mark.parametrize("options", [{"width": 0}, {"depth": 0}])
def test_refuses_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FCN(1, **options)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
