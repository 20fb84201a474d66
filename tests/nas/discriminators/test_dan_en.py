from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.dan_en import DANEvaluationNetwork
from nas.networks import build_discriminator

LAYERS = "64 64 M 128 M 256 256 M 512 512 M 512 512"
FEATURES = (256, 128, 64)
"""As in Nelson's code, at 224x332 pixels followed by 15x22 positions."""


def test_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = build_discriminator("dan_en?pooled=15,22", 4)
        adaptive = build_discriminator("dan_en", 4)
    assert parameters(network) == 52_556_929
    assert parameters(adaptive) == 52_556_929 - (15 * 22 - 1) * 512 * 256


def test_parameters_in_closed_form() -> None:
    width, outputs, positions = 2, 3, 6
    channels = [5, *(int(name) // 64 * width for name in LAYERS.split() if name != "M")]
    convolutions = sum(9 * a * b + 2 * b for a, b in zip(channels, channels[1:], strict=False))
    features = [channels[-1] * positions, *(number // 64 * width for number in FEATURES)]
    linear = sum(a * b + 3 * b for a, b in zip(features, features[1:], strict=False))
    network = DANEvaluationNetwork(5, outputs, width=width, pooled=(2, 3))
    assert parameters(network) == convolutions + linear + features[-1] * outputs + outputs


def test_layers_are_the_published_ones() -> None:
    """Without norm layers; all weights in the order in which they are used."""
    network = DANEvaluationNetwork(2, 3, width=2, pooled=(3, 4), normalisation="none").double()
    images = noise(2, 2, 32, 47)
    weights = iter(network.state_dict().values())
    features = images
    for name in LAYERS.split():
        if name == "M":
            features = functional.max_pool2d(features, 2, padding=1)
        else:
            features = functional.conv2d(features, next(weights), next(weights), padding=1).relu()
    assert features.shape[-2:] == (3, 4)
    features = features.flatten(1)
    for _ in FEATURES:
        features = functional.linear(features, next(weights), next(weights)).relu()
    expected = functional.linear(features, next(weights), next(weights))
    assert next(weights, None) is None
    torch.testing.assert_close(network(images), expected)


def test_a_norm_layer_follows_every_layer_but_the_last() -> None:
    order = [
        type(layer)
        for layer in DANEvaluationNetwork(2, width=1).modules()
        if not list(layer.children())
    ]
    convolution = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    linear = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert order == 9 * convolution + 3 * linear + [nn.Linear]


def test_pooling_to_15x22_changes_nothing_at_224x332_pixels() -> None:
    images = noise(2, 4, 224, 332).float()
    network = DANEvaluationNetwork(4, width=1, pooled=(15, 22)).eval()
    seen: list[Tensor] = []
    network.stages[-1].register_forward_hook(lambda *call: seen.append(call[-1]))
    logits = network(images)
    assert seen[0].shape == (2, 8, 15, 22)
    torch.testing.assert_close(logits, network.head(network.linear(seen[0].flatten(1))))


def test_features_are_averaged_over_all_positions_by_default() -> None:
    network = DANEvaluationNetwork(1, width=1)
    network.stages = nn.ModuleList([nn.Identity()])
    network.linear = network.head = nn.Sequential()
    images = noise(2, 3, 5, 8)
    torch.testing.assert_close(network(images), images.mean((2, 3)))


def test_batch_norm_needs_two_images_in_training() -> None:
    network = DANEvaluationNetwork(1, width=8)
    image = noise(1, 1, 32, 32).float()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(image)
    assert network.eval()(image).shape == (1, 1)


def test_group_norm_judges_each_image_alone() -> None:
    network = DANEvaluationNetwork(1, width=8, normalisation="group").double()
    images = noise(3, 1, 64, 64)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone)


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"pooled": (1, 0)}, {"width": 12, "normalisation": "group"}]
)
def test_refuses_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="width"):
        DANEvaluationNetwork(1, **options)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)
