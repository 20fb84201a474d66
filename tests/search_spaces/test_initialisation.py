import pytest
import torch
from torch import nn

from search_spaces.initialisation import he_initialise


@pytest.mark.parametrize(
    ("layer", "inputs_of_an_output"),
    [
        (nn.Conv2d(64, 128, 3), 64 * 9),
        (nn.Conv2d(64, 128, 3, stride=2), 64 * 9),
        (nn.Conv2d(64, 128, 3, groups=4), 16 * 9),
        (nn.ConvTranspose2d(128, 64, 2, stride=2), 128),
    ],
)
def test_variance_is_two_over_the_inputs(layer: nn.Conv2d, inputs_of_an_output: int) -> None:
    torch.manual_seed(0)
    he_initialise(layer)
    assert float(layer.weight.detach().var()) == pytest.approx(2 / inputs_of_an_output, rel=0.05)
    assert layer.bias is not None
    assert not layer.bias.any()


def test_variance_is_kept_through_depth() -> None:
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(256, 256, 1), nn.ReLU()) for _ in range(12)]
    network = nn.Sequential(*layers)
    he_initialise(network)
    signal = torch.randn(64, 256, 1, 1, generator=torch.Generator().manual_seed(0)).relu()
    with torch.no_grad():
        ratio = float(network(signal).square().mean() / signal.square().mean())
    assert 0.5 < ratio < 2
