from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import nn

from search_spaces.description import Normalisation
from search_spaces.fcn_blocks import Encoder, initialise, linear_unit, norm, pool, unit
from search_spaces.parametric_genotypes import FlexVGG

PUBLISHED_SIZES = [(113, 167), (57, 84), (29, 43), (15, 22), (8, 12), (5, 7)]


def test_blocks_have_the_published_sizes() -> None:
    encoder = Encoder(FlexVGG(channels=1, blocks=6, depth=1), 1)
    outputs = encoder(torch.rand(1, 1, 224, 332))
    assert [tuple(output.shape[2:]) for output in outputs] == PUBLISHED_SIZES


def test_no_map_is_smaller_than_two_by_two() -> None:
    outputs = Encoder(FlexVGG(channels=1, blocks=9, depth=1), 1)(torch.rand(1, 1, 32, 32))
    assert tuple(outputs[-1].shape) == (1, 1, 2, 2)


def test_pooling_pads_the_border_but_never_with_a_larger_value() -> None:
    x = -1 - torch.rand(1, 1, 4, 4)
    y = pool(x)
    assert y[0, 0, 0, 0] == x[0, 0, 0, 0]
    assert y[0, 0, 1, 1] == x[0, 0, 1:3, 1:3].max()
    assert y[0, 0, 2, 2] == x[0, 0, 3, 3]


def test_layers_stand_in_the_published_order() -> None:
    encoder = Encoder(FlexVGG(input_depth=2, channels=4, blocks=2), 3)
    layers = [m for m in encoder.modules() if not list(m.children())]
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 6
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    channels = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    assert channels == [(3, 4), (4, 4), (4, 4), (4, 8), (8, 8), (8, 16)]
    assert all(layer.bias is None for layer in convolutions)


@pytest.mark.parametrize("normalisation", get_args(Normalisation))
def test_a_unit_keeps_the_size_and_is_rectified(normalisation: Normalisation) -> None:
    y = unit(normalisation, 3, 8)(torch.rand(2, 3, 7, 9))
    assert y.shape == (2, 8, 7, 9)
    assert y.min() >= 0
    assert y.max() > 0


@pytest.mark.parametrize("normalisation", get_args(Normalisation))
def test_a_linear_unit_is_rectified(normalisation: Normalisation) -> None:
    y = linear_unit(normalisation, 3, 16)(torch.rand(4, 3))
    assert y.shape == (4, 16)
    assert y.min() >= 0
    assert y.max() > 0


@pytest.mark.parametrize("normalisation", ["batch", "instance", "group"])
def test_a_norm_layer_treats_the_first_channels_alike_in_every_width(
    normalisation: Normalisation,
) -> None:
    x = torch.randn(3, 40, 5, 6)
    wide = norm(normalisation, 40)(x)
    for width in (8, 16, 24):
        torch.testing.assert_close(norm(normalisation, width)(x[:, :width]), wide[:, :width])


def test_a_linear_unit_normalises_over_the_batch_or_over_eight_features() -> None:
    x = 5 + torch.randn(50, 3)
    batch = linear_unit("batch", 3, 16)[:2](x)
    assert batch.mean(0).abs().max() < 1e-5
    group = linear_unit("group", 3, 16)[:2](x).reshape(50, 2, 8)
    assert group.mean(2).abs().max() < 1e-5


def test_convolutions_start_as_he_and_linear_layers_as_glorot() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Linear(100, 200))
    initialise(layers)
    convolution, linear = (layer.weight.detach() for layer in layers)  # type: ignore[operator]
    assert float(convolution.std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    bound = math.sqrt(6 / 300)
    assert float(linear.max()) == pytest.approx(bound, rel=0.01)
    assert float(linear.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
