"""The generator against its definition, layer by layer, and against a pattern it must learn."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

import search_spaces
from nas.generators import GENERATORS
from nas.generators.deconvolution import Deconvolution


def test_layers_are_transposed_convolutions_with_instance_norm_and_relu() -> None:
    network = Deconvolution(5, 2, width=3).double()
    noise = torch.randn(4, 5, dtype=torch.float64)
    weights = iter(network.state_dict().values())
    features = noise[:, :, None, None]
    for layer in range(4):
        stride, padding = (1, 0) if layer == 0 else (2, 1)
        features = functional.conv_transpose2d(features, next(weights), None, stride, padding)
        assert features.shape == (4, 24 // 2**layer, 4 * 2**layer, 4 * 2**layer)
        scale, shift = (next(weights)[:, None, None] for _ in range(2))
        mean = features.mean((2, 3), keepdim=True)
        variance = (features - mean).square().mean((2, 3), keepdim=True)
        features = (scale * (features - mean) / (variance + 1e-5).sqrt() + shift).clamp(min=0)
    features = functional.conv_transpose2d(features, next(weights), next(weights), 2, 1)
    assert next(weights, None) is None
    torch.testing.assert_close(network(noise), 1 / (1 + (-features).exp()))


def test_parameters_in_closed_form() -> None:
    with torch.device("meta"):
        network = Deconvolution(300, 3)
    hidden = sum(16 * a * b + 2 * b for a, b in pairwise([300, 512, 256, 128, 64]))
    assert sum(each.numel() for each in network.parameters()) == hidden + 16 * 64 * 3 + 3


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_in_the_range_of_images_and_differ(channels: int) -> None:
    torch.manual_seed(0)
    patches = Deconvolution(300, channels, width=4)(torch.randn(6, 300))
    assert patches.shape == (6, channels, 64, 64)
    assert 0 < patches.min() < 0.4 < 0.6 < patches.max() < 1
    assert (patches[0] - patches[1]).abs().mean() > 0.02


def test_learns_a_pattern() -> None:
    torch.manual_seed(0)
    pattern = 0.2 + 0.6 * (torch.arange(64) % 16 < 6).float().expand(2, 1, 64, 64)
    network, noise = Deconvolution(10, 1, width=4), torch.randn(2, 10)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = functional.mse_loss(network(noise), pattern)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_refuses_values_out_of_range(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Deconvolution(*numbers[:2], width=numbers[2])


@pytest.mark.parametrize("name", GENERATORS)
def test_every_name_builds_a_generator(name: str) -> None:
    network = search_spaces.find(GENERATORS[name][0])(7, 2)
    assert network(torch.zeros(1, 7)).shape == (1, 2, 64, 64)
