import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.segmenters.blocks import Normalisation, convolution


def test_convolution_then_relu() -> None:
    layer = nn.Sequential(*convolution(2, 4, "none"))
    weight, bias = layer.parameters()
    images = torch.randn(1, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    expected = functional.conv2d(functional.pad(images, (1, 1, 1, 1)), weight, bias).clamp(min=0)
    assert float(expected.detach().min()) == 0.0
    torch.testing.assert_close(layer(images), expected)


@pytest.mark.parametrize("normalisation", ["batch", "instance"])
def test_normalisation_comes_before_relu(normalisation: Normalisation) -> None:
    """Of a normalised signal, ReLU keeps about half: mean 0 and variance 1 before it."""
    torch.manual_seed(0)
    layer = nn.Sequential(*convolution(2, 4, normalisation))
    images = 9 * torch.randn(4, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    features = layer(images).detach()
    assert float(features.square().mean()) == pytest.approx(0.5, abs=0.05)
    assert float((features > 0).float().mean()) == pytest.approx(0.5, abs=0.05)
