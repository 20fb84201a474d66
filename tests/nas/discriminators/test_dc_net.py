from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators.dc_net import DCNet


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_verdict_is_the_probability_of_not_fake(classes: int) -> None:
    network = DCNet(3, classes=classes, width=2).double()
    maps = 5 * noise(4, 3, 64, 64)
    probabilities = network.class_logits(maps).softmax(1)
    assert probabilities.shape == (4, classes + 1, 1, 1)
    torch.testing.assert_close(network(maps).sigmoid(), 1 - probabilities[:, -1:])


def test_certain_verdicts_stay_finite() -> None:
    network = DCNet(1, width=1)
    with torch.no_grad():
        weight, bias = network.head.parameters()
        weight.zero_()
        bias.copy_(torch.tensor([500.0, -500.0, 300.0]))
    verdict = network(torch.rand(1, 1, 64, 64))
    assert verdict.item() == pytest.approx(200.0)
    (slope,) = torch.autograd.grad(verdict, bias)
    assert slope.tolist() == pytest.approx([1.0, 0.0, -1.0])


def test_parameters_in_closed_form() -> None:
    convolutions = sum(16 * a * b + 2 * b for a, b in pairwise([4, 64, 128, 256, 512]))
    with torch.device("meta"):
        network = DCNet(4, classes=3)
    assert parameters(network) == convolutions + 4 * 4 * 512 * 4 + 4


def test_layers_are_convolutions_with_instance_norm_and_leaky_relu_of_slope_01() -> None:
    network = DCNet(2, width=2).double()
    patch = noise(2, 2, 64, 64)
    weights = iter(network.state_dict().values())
    features = patch
    for _ in range(4):
        features = functional.conv2d(features, next(weights), stride=2, padding=1)
        scale, shift = (next(weights)[:, None, None] for _ in range(2))
        mean = features.mean((2, 3), keepdim=True)
        variance = (features - mean).square().mean((2, 3), keepdim=True)
        features = scale * (features - mean) / (variance + 1e-5).sqrt() + shift
        features = torch.where(features > 0, features, 0.1 * features)
    expected = functional.linear(features.flatten(1), next(weights), next(weights))
    assert next(weights, None) is None
    torch.testing.assert_close(network.class_logits(patch)[..., 0, 0], expected)


def test_each_patch_is_judged_as_if_alone() -> None:
    network = DCNet(2, width=2).double()
    maps = noise(2, 2, 128, 192)
    together = network(maps)
    assert together.shape == (2, 1, 2, 3)
    for row in range(2):
        for column in range(3):
            window = (..., slice(64 * row, 64 * row + 64), slice(64 * column, 64 * column + 64))
            alone = network(maps[window])
            torch.testing.assert_close(together[..., row : row + 1, column : column + 1], alone)


@pytest.mark.parametrize(
    ("size", "padding", "grid"),
    [((32, 32), (16, 16, 16, 16), (1, 1)), ((65, 190), (1, 1, 31, 32), (2, 3))],
)
def test_inputs_are_padded_equally_on_both_sides(
    size: tuple[int, int], padding: tuple[int, int, int, int], grid: tuple[int, int]
) -> None:
    network = DCNet(2, width=2).double()
    maps = noise(1, 2, *size)
    assert network(maps).shape == (1, 1, *grid)
    torch.testing.assert_close(network(maps), network(functional.pad(maps, padding)))


def test_learns_the_classes_of_patches() -> None:
    """Vertical lines, horizontal lines, and noise that stands for what a generator makes."""
    torch.manual_seed(0)
    lines = (torch.arange(64) % 8 < 3).float().expand(4, 1, 64, 64)
    patches = torch.cat([lines, lines.mT, torch.rand(4, 1, 64, 64)])
    patches = patches + 0.1 * torch.randn(12, 1, 64, 64)
    labels = torch.arange(3).repeat_interleave(4)
    network = DCNet(1, width=4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(network.class_logits(patches)[..., 0, 0], labels).backward()
        optimizer.step()
    assert network.class_logits(patches)[..., 0, 0].argmax(1).tolist() == labels.tolist()
    assert (network(patches).flatten() > 0).tolist() == (labels < 2).tolist()


@pytest.mark.parametrize("options", [{"width": 0}, {"classes": 0}])
def test_refuses_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DCNet(1, **options)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)
