from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.vgg import VGG16
from nas.errors import UsageError
from nas.networks import build_discriminator

CONFIGURATION_D = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
"""Simonyan and Zisserman 2015, Table 1."""


def test_parameters_are_those_of_vgg16() -> None:
    with torch.device("meta"):
        assert parameters(VGG16(3, 1000)) == 138_357_544


@pytest.mark.parametrize("pooled", [(1, 1), (2, 3)])
def test_parameters_in_closed_form(pooled: tuple[int, int]) -> None:
    width, outputs = 2, 3
    channels = [5, *(int(name) // 64 * width for name in CONFIGURATION_D.split() if name != "M")]
    convolutions = sum(9 * a * b + b for a, b in zip(channels, channels[1:], strict=False))
    flat, hidden = 8 * width * pooled[0] * pooled[1], 64 * width
    linear = (flat * hidden + hidden) + (hidden * hidden + hidden) + (hidden * outputs + outputs)
    network = VGG16(5, outputs, width=width, pooled=pooled)
    assert parameters(network) == convolutions + linear


def test_layers_are_those_of_the_table() -> None:
    network = VGG16(2, 3, width=2, pooled=(2, 3)).double().eval()
    images = noise(2, 2, 64, 96)
    weights = iter(network.state_dict().values())
    features = images
    for name in CONFIGURATION_D.split():
        if name == "M":
            features = functional.max_pool2d(features, 2)
        else:
            features = functional.conv2d(features, next(weights), next(weights), padding=1).relu()
    features = features.flatten(1)
    for _ in range(2):
        features = functional.linear(features, next(weights), next(weights)).relu()
    expected = functional.linear(features, next(weights), next(weights))
    assert next(weights, None) is None
    torch.testing.assert_close(network(images), expected)


def test_pooling_changes_nothing_at_224_pixels() -> None:
    network = VGG16(3, width=1).eval()
    images = noise(1, 3, 224, 224).float()
    features = network.features(images)
    assert features.shape == (1, 8, 7, 7)
    torch.testing.assert_close(network(images), network.classifier(features.flatten(1)))


def test_features_are_averaged_over_equal_parts() -> None:
    network = VGG16(1, width=1, pooled=(1, 2))
    network.features = network.classifier = nn.Sequential()
    images = noise(2, 3, 5, 8)
    left, right = images[..., :4].mean((2, 3)), images[..., 4:].mean((2, 3))
    expected = torch.stack([left, right], dim=2).flatten(1)
    torch.testing.assert_close(network(images), expected)


def test_dropout_follows_both_hidden_layers() -> None:
    layers = [type(layer) for layer in VGG16(1, width=1).classifier]
    assert layers == [nn.Linear, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]


def test_dropout_only_in_training_and_only_if_wanted() -> None:
    torch.manual_seed(0)
    images = noise(1, 1, 64, 64).float()
    network = VGG16(1, width=2)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))
    still = VGG16(1, width=2, dropout=0.0)
    assert torch.equal(still(images), still(images))


def test_the_signal_neither_dies_nor_explodes_without_normalisation() -> None:
    torch.manual_seed(0)
    network = VGG16(3, width=16, dropout=0.0)
    with torch.no_grad():
        start = network.features[:2](torch.rand(2, 3, 64, 64))
        end = network.features(torch.rand(2, 3, 64, 64))
    ratio = float(end.square().mean() / start.square().mean())
    assert 0.1 < ratio < 100


def test_spectral_norm_is_on_every_layer() -> None:
    torch.manual_seed(0)
    network = VGG16(1, width=1, pooled=(1, 1), normalisation="spectral")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(10.0)
        for _ in range(50):
            network(torch.rand(1, 1, 32, 32))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = [layer.weight.detach().flatten(1) for layer in layers]
    largest = [float(torch.linalg.matrix_norm(weight, ord=2)) for weight in weights]
    assert largest == pytest.approx([1.0] * 16, abs=0.05)


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"pooled": (0, 7)}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_refuses_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        VGG16(1, **options)


def test_options_stand_in_the_specification() -> None:
    network = build_discriminator("vgg16?width=1&pooled=2,3&dropout=0", 3)
    assert isinstance(network, VGG16)
    assert network.classifier[0].in_features == 8 * 6
    with pytest.raises(UsageError, match="pooled"):
        build_discriminator("vgg16?pooled=7", 3)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)
