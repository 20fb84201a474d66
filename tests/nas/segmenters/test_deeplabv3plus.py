"""DeepLabv3+: its size by hand, its strides and dilations by the support of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from nas.segmenters.deeplabv3plus import DeepLabV3Plus, Pyramid
from nas.segmenters.xception import Xception


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def separable(a: int, b: int) -> int:
    """Depthwise 3x3 and 1x1 without bias, scale and shift behind each."""
    return 9 * a + 2 * a + a * b + 2 * b


def module(channels: Sequence[int], shortcut: bool) -> int:
    row = sum(separable(a, b) for a, b in pairwise(channels))
    return row + (channels[0] * channels[-1] + 2 * channels[-1]) * shortcut


def xception(in_channels: int, middle: int) -> int:
    """The layers of Fig. 4 of the paper."""
    stem = 9 * in_channels * 32 + 64 + 9 * 32 * 64 + 128
    entry = sum(module((a, b, b, b), True) for a, b in pairwise((64, 128, 256, 728)))
    exits = module((728, 728, 1024, 1024), True)
    last = sum(separable(a, b) for a, b in pairwise((1024, 1536, 1536, 2048)))
    return stem + entry + middle * module((728,) * 4, False) + exits + last


def test_xception_has_the_size_that_another_library_counts() -> None:
    """xception65 of timm 1.0.31 has 39,916,312 parameters, a layer for 1000 classes included."""
    with torch.device("meta"):
        network = Xception(3, lambda channels: channels, 16, 16, "batch")
    assert count(network) == xception(3, 16)
    assert count(network) + 2048 * 1000 + 1000 == 39_916_312


def test_parameters_in_closed_form() -> None:
    with torch.device("meta"):
        network = DeepLabV3Plus(1, 4)
    point = 2048 * 256 + 512
    image = 2048 * 256 + 256
    pyramid = point + 3 * separable(2048, 256) + image + 5 * 256 * 256 + 512
    decoder = 256 * 48 + 96 + separable(304, 256) + separable(256, 256) + 256 * 4 + 4
    assert count(network) == xception(1, 16) + pyramid + decoder


@pytest.mark.parametrize(("stride", "middle", "last"), [(16, 1, 2), (8, 2, 4)])
def test_the_output_stride_turns_strides_into_dilations(
    stride: int, middle: int, last: int
) -> None:
    network = Xception(1, lambda channels: max(1, channels // 64), 2, stride, "none")
    shallow, deep = network(torch.rand(1, 1, 97, 130))
    assert shallow.shape[-2:] == (25, 33)
    assert deep.shape[-2:] == (-(-97 // stride), -(-130 // stride))

    def dilations(part: nn.Module) -> set[int]:
        depthwise = [
            m for m in part.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
        ]
        return {m.dilation[0] for m in depthwise}

    assert dilations(network.entry3) == {1}
    assert dilations(network.middle) == {middle}
    assert dilations(network.exit1) == {middle}
    assert dilations(network.exit2) == {last}


def support(branch: nn.Module, size: int) -> Tensor:
    """Where the input reaches the middle of the branch's output, (size, size) of bool."""
    with torch.no_grad():
        for parameter in branch.parameters():
            parameter.fill_(1.0)
    features = torch.ones(1, 1, size, size, requires_grad=True)
    branch(features)[0, 0, size // 2, size // 2].backward()
    assert features.grad is not None
    return features.grad[0, 0] != 0


def test_the_pyramid_looks_1_6_12_and_18_pixels_around() -> None:
    pyramid = Pyramid(1, 1, [6, 12, 18], "none")
    assert support(pyramid.point, 41).nonzero().tolist() == [[20, 20]]
    for branch, rate in zip(pyramid.atrous, (6, 12, 18), strict=True):
        places = [20 - rate, 20, 20 + rate]
        assert support(branch, 41).nonzero().tolist() == [[a, b] for a in places for b in places]


def test_the_image_branch_gives_every_place_the_mean() -> None:
    pyramid = Pyramid(1, 1, [6], "none")
    with torch.no_grad():
        pyramid.image[1].weight.fill_(1.0)
        pyramid.image[1].bias.zero_()
    features = torch.rand(2, 1, 5, 7)
    torch.testing.assert_close(pyramid.image(features)[:, 0, 0, 0], features.mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("normalisation", ["batch", "group", "instance", "none"])
@pytest.mark.parametrize("size", [(65, 97), (48, 64)])
def test_any_size_in_training_mode(normalisation: str, size: tuple[int, int]) -> None:
    network = DeepLabV3Plus(2, 3, width=2, middle_modules=1, normalisation=normalisation)
    for batch in (1, 2):
        assert network(torch.rand(batch, 2, *size)).shape == (batch, 3, *size)


@pytest.mark.parametrize("size", [(775, 522), (565, 584)])
def test_the_sizes_of_published_images(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = DeepLabV3Plus(3, 2)
        assert network(torch.rand(1, 3, *size)).shape == (1, 2, *size)


def test_both_strides_see_the_shallow_features() -> None:
    """Without the pyramid's output, the decoder still tells images apart by their edges."""
    network = DeepLabV3Plus(1, 2, width=2, middle_modules=0, normalisation="none").eval()
    network.pyramid.register_forward_hook(lambda *parts: parts[2] * 0)
    first, second = torch.rand(2, 1, 1, 64, 64)
    assert not torch.allclose(network(first), network(second))


@pytest.mark.parametrize("options", [{"width": 0}, {"middle_modules": -1}])
def test_refuses_impossible_numbers(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        DeepLabV3Plus(1, 2, **options)
