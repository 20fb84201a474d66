from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.blocks import convolution, draw_weights
from search_spaces.description import Normalisation


def test_convolution_then_leaky_relu() -> None:
    layer = nn.Sequential(*convolution("none", 2, 3, 4, stride=2, padding=2, slope=0.1))
    weight, bias = layer.parameters()
    images = noise(1, 2, 9, 7)
    summed = functional.conv2d(functional.pad(images, (2, 2, 2, 2)), weight, bias, stride=2)
    expected = torch.where(summed > 0, summed, 0.1 * summed)
    assert float(expected.detach().min()) < 0
    torch.testing.assert_close(layer(images), expected)


def test_relu_by_default() -> None:
    features = nn.Sequential(*convolution("none", 2, 4))(noise(1, 2, 9, 7)).detach()
    assert float(features.min()) == 0.0


@pytest.mark.parametrize("normalisation", ["batch", "instance"])
def test_normalisation_comes_before_the_activation(normalisation: Normalisation) -> None:
    """Of a signal of variance 1, half of it scaled by 0.2, the mean square is (1 + 0.04) / 2."""
    layer = nn.Sequential(*convolution(normalisation, 2, 4, slope=0.2))
    features = layer(9 * noise(4, 2, 64, 64)).detach()
    assert float(features.square().mean()) == pytest.approx(0.52, abs=0.05)
    assert float((features > 0).float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("normalisation", "has_bias"),
    [("batch", False), ("instance", False), ("group", False), ("spectral", True), ("none", True)],
)
def test_bias_where_no_norm_layer_follows(normalisation: Normalisation, has_bias: bool) -> None:
    layer = convolution(normalisation, 2, 4)[0]
    assert isinstance(layer, nn.Conv2d)
    assert (layer.bias is not None) == has_bias


def test_convolutions_start_as_he_prescribes() -> None:
    layer = nn.Conv2d(16, 64, 4)
    draw_weights(nn.Sequential(layer), "none")
    assert float(layer.weight.detach().var()) == pytest.approx(2 / (16 * 16), rel=0.1)
    assert layer.bias is not None
    assert not layer.bias.any()


@pytest.mark.parametrize(("channels", "kernel"), [((4, 8), 3), ((16, 8), 4), ((2, 16), 1)])
def test_under_spectral_norm_all_singular_values_start_at_one(
    channels: tuple[int, int], kernel: int
) -> None:
    network = nn.Sequential(*convolution("spectral", *channels, kernel))
    draw_weights(network, "spectral")
    layer = network.eval()[0]
    assert isinstance(layer, nn.Conv2d)
    singular = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    torch.testing.assert_close(singular, torch.ones_like(singular))


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
