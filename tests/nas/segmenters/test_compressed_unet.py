"""Livne's network: its published size, its order of layers, and its forms on tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.segmenters.compressed_unet import CompressedUNet, Layer, Quartered, compressed_unet


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_published_code() -> None:
    assert count(compressed_unet(1, 3)) == 466_507


def test_normalisation_is_everywhere_but_in_the_last_two_layers() -> None:
    network = compressed_unet(1, 3, normalisation="batch")
    normalised = [
        each.num_features for each in network.modules() if isinstance(each, nn.BatchNorm2d)
    ]
    assert sorted(normalised) == sorted([32] * 5 + [64] * 5 + [128] * 2)
    plain = 466_507 - sum(normalised)
    assert count(network) == plain + 2 * sum(normalised)
    assert network.head[0].bias is not None


def test_the_last_layers_are_linear() -> None:
    """Negating their input negates their output, up to the constant of the biases."""
    network = compressed_unet(1, 3, width=2).double()
    features = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    last = nn.Sequential(network.linear, network.head)
    constant = last(torch.zeros_like(features))
    torch.testing.assert_close(last(features) + last(-features), 2 * constant)


def test_an_even_kernel_looks_right_and_down() -> None:
    layer = Layer(1, 1, 2, "none")
    with torch.no_grad():
        layer.convolution.weight.copy_(torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]]))
        layer.convolution.bias.zero_()
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 2, 2] = 1
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = torch.tensor([[1000.0, 100.0], [10.0, 1.0]])
    torch.testing.assert_close(layer(image)[0, 0], expected)


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (33, 40), (46, 51)])
@pytest.mark.parametrize("tiles", ["none", "quarters", "mirrored"])
def test_any_size(size: tuple[int, int], tiles: str) -> None:
    network = compressed_unet(2, 3, width=2, tiles=tiles)
    assert network(torch.rand(2, 2, *size)).shape == (2, 3, *size)


def test_quarters_are_what_the_network_gives_on_each_alone() -> None:
    whole = CompressedUNet(1, 2, 4, "none")
    images = torch.rand(2, 1, 40, 56)
    found = Quartered(whole, mirrored=False)(images)
    for rows in (slice(0, 20), slice(20, 40)):
        for columns in (slice(0, 28), slice(28, 56)):
            alone = whole(images[..., rows, columns])
            torch.testing.assert_close(found[..., rows, columns], alone)


def test_mirrored_quarters_are_continued_by_their_reflection() -> None:
    """numpy's "symmetric" padding is the reflection at the edge, edge pixel included."""
    seen: list[Tensor] = []

    class Watch(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images

    images = torch.rand(1, 1, 6, 8)
    network = Quartered(Watch(), mirrored=True)
    torch.testing.assert_close(network(images), images)
    (batch,) = seen
    pads = {0: (0, 3), 1: (3, 0)}, {0: (0, 4), 1: (4, 0)}
    for index, (lower, right) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        quarter = images[0, 0, 3 * lower : 3 * lower + 3, 4 * right : 4 * right + 4].numpy()

        expected = np.pad(quarter, (pads[0][lower], pads[1][right]), mode="symmetric")
        torch.testing.assert_close(batch[index, 0], torch.from_numpy(expected))


def test_the_upper_left_quarter_keeps_the_middle_of_an_odd_side() -> None:
    class Number(nn.Module):
        """Each quarter becomes its place in the batch."""

        def forward(self, images: Tensor) -> Tensor:
            return torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 1, *images.shape[-2:])

    found = Quartered(Number(), mirrored=False)(torch.zeros(1, 1, 5, 7))[0, 0]
    assert found[:3, :4].eq(0).all()
    assert found[:3, 4:].eq(1).all()
    assert found[3:, :4].eq(2).all()
    assert found[3:, 4:].eq(3).all()


def test_features_are_enlarged_by_repetition() -> None:
    """A network that passes on the coarsest features alone shows them in squares of four."""
    network = compressed_unet(1, 1, width=1).double()
    deep: list[Tensor] = []
    network.upsamplers[0].register_forward_pre_hook(lambda _, inputs: deep.append(inputs[0]))
    network.encoder[2].register_forward_hook(lambda *parts: deep.append(parts[2]))
    network(torch.rand(1, 1, 32, 32, dtype=torch.float64))
    coarse, repeated = deep
    torch.testing.assert_close(repeated, functional.interpolate(coarse, scale_factor=2))


def test_refuses_no_channels() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        compressed_unet(1, 2, width=0)
