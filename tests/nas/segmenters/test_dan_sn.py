"""DAN's segmentation network: its published size, its taps, and any image size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.segmenters.dan_sn import DanSN, run_stages


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_published_network() -> None:
    with torch.device("meta"):
        assert count(DanSN(3, 2)) == 41_860_032


def test_published_sizes_of_the_stages() -> None:
    """Pooling with padding makes n pixels floor(n / 2) + 1: 224x332 down to 8x12."""
    network = DanSN(3, 2, width=1)
    found = [
        tuple(each.shape[1:]) for each in run_stages(network.stages, torch.rand(1, 3, 224, 332))
    ]
    sizes = [(224, 332), (113, 167), (57, 84), (29, 43), (15, 22), (8, 12)]
    assert found == [
        (channels, *size) for channels, size in zip((1, 2, 4, 8, 8, 16), sizes, strict=True)
    ]


def test_the_last_stage_comes_first_in_the_concatenation() -> None:
    network = DanSN(1, 2, width=1, normalisation="none").eval()
    with torch.no_grad():
        for layer in network.taps:
            layer[1] = nn.Identity()
    seen = []
    network.mapping.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.rand(1, 1, 64, 64)
    network(images)
    stages = run_stages(network.stages, images)
    expected = [
        nn.functional.interpolate(each, size=(64, 64), mode="bilinear") for each in stages[:2:-1]
    ]
    torch.testing.assert_close(seen[0], torch.cat(expected, dim=1))


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (33, 160)])
@pytest.mark.parametrize("normalisation", ["none", "batch", "group"])
def test_any_size(size: tuple[int, int], normalisation: str) -> None:
    network = DanSN(2, 3, width=2, normalisation=normalisation)
    assert network(torch.rand(2, 2, *size)).shape == (2, 3, *size)


def test_refuses_no_channels() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DanSN(1, 2, width=0)
