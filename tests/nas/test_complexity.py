"""Parameters and multiply-adds against closed forms and published figures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.complexity import count_multiply_adds, count_parameters
from nas.networks import build_discriminator, build_segmenter


class BasicBlock(nn.Module):
    """Residual block of ResNet-18 (He et al. 2016, Table 1)."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.skip = nn.Identity() if before == channels else nn.Conv2d(before, channels, 1, stride)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(images)) + self.skip(images)


def multiply_adds(network: nn.Module, channels: int, *size: int) -> int:
    return count_multiply_adds(network.to("meta"), channels, (size[0], size[-1]))


def test_a_convolution() -> None:
    """C_in C_out k^2 for each pixel of the output; the bias is not counted."""
    assert multiply_adds(nn.Conv2d(3, 8, 5, padding=2), 3, 17, 23) == 3 * 8 * 25 * 17 * 23
    assert multiply_adds(nn.Conv2d(3, 8, 3, stride=2, padding=1), 3, 17, 23) == 3 * 8 * 9 * 9 * 12


def test_a_grouped_convolution() -> None:
    assert multiply_adds(nn.Conv2d(6, 12, 3, padding=1, groups=3), 6, 10, 14) == 2 * 12 * 9 * 140
    assert multiply_adds(nn.Conv2d(6, 6, 3, padding=1, groups=6), 6, 10, 14) == 6 * 9 * 140


def test_a_transposed_convolution() -> None:
    """C_in C_out k^2 for each pixel of the input."""
    assert multiply_adds(nn.ConvTranspose2d(6, 4, 2, stride=2), 6, 10, 14) == 6 * 4 * 4 * 140


def test_a_linear_layer() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 7))
    assert multiply_adds(network, 3, 33) == 12 * 7


def test_attention() -> None:
    """Four projections of T tokens with D features, and two products of T x T."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = images.flatten(2).mT
            result: torch.Tensor = self.attention(tokens, tokens, tokens)[0]
            return result

    assert multiply_adds(Attention(), 8, 5, 3) == 4 * 15 * 8 * 8 + 2 * 15 * 15 * 8


def test_what_is_not_counted() -> None:
    network = nn.Sequential(
        nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
    )
    assert multiply_adds(network, 3, 32) == 0


def test_a_small_network() -> None:
    """U-Net of width 2 and one pooling, by hand, at 32x32: on the way down, below, up, the head."""
    pixels = 32 * 32
    down = 9 * (1 * 2 + 2 * 2) * pixels
    below = 9 * (2 * 4 + 4 * 4) * pixels // 4
    up = 4 * (4 * 2) * pixels // 4 + 9 * (4 * 2 + 2 * 2) * pixels
    network = build_segmenter("unet?width=2&depth=1", 1, 3)
    assert multiply_adds(network, 1, 32) == down + below + up + 2 * 3 * pixels


def resnet18() -> nn.Module:
    """With an output for each of the 1000 classes of ImageNet, but without normalisation."""
    widths = [64, 64, 128, 256, 512]
    blocks = []
    for before, channels in zip(widths, widths[1:], strict=False):
        blocks += [BasicBlock(before, channels, 1 if before == channels else 2)]
        blocks += [BasicBlock(channels, channels, 1)]
    ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, *blocks, *ends)


def vgg16() -> nn.Module:
    """Configuration D of Simonyan and Zisserman 2015."""
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            channels = width
        layers.append(nn.MaxPool2d(2))
    linear = (nn.Linear(512 * 7 * 7, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000))
    return nn.Sequential(*layers, nn.Flatten(), *linear)


def test_published_figures() -> None:
    """Billions at 224x224, as torchvision gives them with its weights: 1.814 and 15.47."""
    with torch.device("meta"):
        residual, vgg = resnet18(), vgg16()
    assert multiply_adds(residual, 3, 224) == pytest.approx(1.814e9, rel=1e-3)
    assert multiply_adds(vgg, 3, 224) == pytest.approx(15.47e9, rel=1e-3)
    assert count_parameters(vgg) == 138_357_544


@pytest.mark.parametrize(
    ("name", "billions", "millions"), [("resnet18", 1.814, 11.690), ("resnet50", 4.089, 25.557)]
)
def test_published_figures_of_discriminators(name: str, billions: float, millions: float) -> None:
    """Those with 1000 outputs; one output instead of them saves 999 rows of the linear layer."""
    features = 512 if name == "resnet18" else 2048
    with torch.device("meta"):
        network = build_discriminator(name, 3)
    saved = 999 * features
    assert multiply_adds(network, 3, 224) + saved == pytest.approx(billions * 1e9, rel=1e-3)
    assert count_parameters(network) + saved + 999 == pytest.approx(millions * 1e6, rel=1e-4)


def test_shared_parameters_count_once() -> None:
    layer, tied = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1, bias=False)
    tied.weight = layer.weight
    assert count_parameters(nn.Sequential(layer, tied)) == 2 * 2 + 2
    assert count_parameters(nn.Sequential(layer, layer)) == 2 * 2 + 2
    assert multiply_adds(nn.Sequential(layer, layer), 2, 8) == 2 * 4 * 64


def test_a_network_in_memory_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert count_multiply_adds(network, 2, (8, 8)) == 2 * 4 * 9 * 36
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
