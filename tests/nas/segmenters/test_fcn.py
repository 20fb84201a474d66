from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nas.segmenters.fcn import FCN, fcn8s, fcn16s, fcn32s


def test_parameters_are_those_of_vgg16() -> None:
    """Simonyan and Zisserman 2015, configuration D, with 1000 classes."""
    with torch.device("meta"):
        network = fcn32s(3, 1000)
    assert parameters(network) == 138_357_544


def test_parameters_in_closed_form() -> None:
    width, classes = 4, 3
    channels = [2, *(width * f for f in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8))]
    convolutions = sum(9 * a * b + b for a, b in zip(channels, channels[1:], strict=False))
    wide = 64 * width
    former_linear = (49 * 8 * width * wide + wide) + (wide * wide + wide)
    expected = convolutions + former_linear + wide * classes + classes
    assert parameters(fcn32s(2, classes, width=width)) == expected


def test_a_score_sees_404_pixels() -> None:
    """The receptive field of VGG16's first linear layer as a convolution is 404 pixels wide.

    It starts 186 pixels left of the 32 pixels that the score stands for, and ends as far right.
    """
    network = all_ones(fcn32s(1, 1, width=1, dropout=0.0))
    start, end = 8 * 32 - 186, 9 * 32 + 186
    assert end - start == 404
    seen = [
        bool(scores(network, position)[..., 8].any())
        for position in (start - 1, start, end - 1, end)
    ]
    assert seen == [False, True, True, False]


def test_scores_are_enlarged_bilinearly_around_the_centres_of_their_pixels() -> None:
    network = fcn32s(1, 1, width=1, dropout=0.0)
    network.stages = nn.ModuleList([nn.AvgPool2d(32, ceil_mode=True)])
    network.classifier = nn.Sequential()
    ramp = torch.arange(150.0).expand(1, 1, 70, 150)
    logits = network(ramp)
    assert logits.shape == ramp.shape
    torch.testing.assert_close(logits[..., 16:112], ramp[..., 16:112])


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (33, 160)])
def test_any_size(size: tuple[int, int]) -> None:
    assert fcn32s(1, 2, width=1)(torch.rand(1, 1, *size)).shape == (1, 2, *size)


def test_dropout_follows_both_former_linear_layers() -> None:
    layers = [type(layer) for layer in fcn32s(1, 2, width=1).classifier]
    assert layers == [nn.Conv2d, nn.ReLU, nn.Dropout] * 2 + [nn.Conv2d]


def test_dropout_only_in_training() -> None:
    network = fcn32s(1, 2, width=2, dropout=0.5)
    image = torch.rand(1, 1, 64, 64, generator=generator())
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize(("width", "dropout"), [(0, 0.5), (4, 1.0), (4, -0.1)])
def test_refuses_values_out_of_range(width: int, dropout: float) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        fcn32s(1, 2, width=width, dropout=dropout)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def all_ones(network: FCN) -> FCN:
    """Weights of one and no biases: any path from an input to an output shows."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return network.double()


def scores(network: FCN, position: int) -> Tensor:
    """Scores before the upsampling of an image 544 wide that is 1 in one column and else 0."""
    image = torch.zeros(1, 1, 32, 544, dtype=torch.float64)
    image[..., position] = 1.0
    with torch.no_grad():
        return network.classifier(nn.Sequential(*network.stages)(image))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("build", "skips"), [(fcn16s, (8,)), (fcn8s, (8, 4))])
def test_a_skip_adds_one_score_per_class(build: Callable[..., FCN], skips: tuple[int, ...]) -> None:
    width, classes = 2, 3
    more = parameters(build(1, classes, width=width)) - parameters(fcn32s(1, classes, width=width))
    assert more == sum(classes * factor * width + classes for factor in skips)


@pytest.mark.parametrize("build", [fcn16s, fcn8s])
@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 40)])
def test_skips_start_silent_and_any_size_works(
    build: Callable[..., FCN], size: tuple[int, int]
) -> None:
    network = build(1, 2, width=2, dropout=0.0)
    images = torch.rand(1, 1, *size, generator=generator())
    assert network(images).shape == (1, 2, *size)
    for skip in network.skips:
        assert not skip.weight.any()
        assert not skip.bias.any()


@pytest.mark.parametrize(("build", "stride"), [(fcn16s, 16), (fcn8s, 8)])
def test_a_skip_scores_the_pooling_of_its_stride(build: Callable[..., FCN], stride: int) -> None:
    """With the coarse scores silenced, the finest skip alone reaches every pixel."""
    network = all_ones(build(1, 1, width=1, dropout=0.0))
    with torch.no_grad():
        network.classifier[-1].weight.zero_()
        for skip in list(network.skips)[:-1]:
            skip.weight.zero_()
    seen = []
    network.skips[-1].register_forward_hook(lambda *parts: seen.append(parts[2].shape))
    logits = network(torch.ones(1, 1, 64, 64, dtype=torch.float64))
    assert seen[0][-2:] == (64 // stride, 64 // stride)
    assert bool((logits > 0).all())


def test_scores_are_added_from_coarse_to_fine() -> None:
    """FCN-8s on constant features: the sum of the three constant scores, whatever the sizes."""
    network = fcn8s(1, 1, width=1, dropout=0.0).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.classifier[-1].bias.fill_(1.0)
        network.skips[0].bias.fill_(10.0)
        network.skips[1].bias.fill_(100.0)
    logits = network(torch.zeros(1, 1, 65, 97, dtype=torch.float64))
    torch.testing.assert_close(logits, torch.full_like(logits, 111.0))
