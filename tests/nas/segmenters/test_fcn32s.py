import pytest
import torch
from torch import Tensor, nn

from nas.segmenters.fcn32s import FCN32s


def test_parameters_are_those_of_vgg16() -> None:
    """Simonyan and Zisserman 2015, configuration D, with 1000 classes."""
    with torch.device("meta"):
        network = FCN32s(3, 1000)
    assert parameters(network) == 138_357_544


def test_parameters_in_closed_form() -> None:
    width, classes = 4, 3
    channels = [2, *(width * f for f in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8))]
    convolutions = sum(9 * a * b + b for a, b in zip(channels, channels[1:], strict=False))
    wide = 64 * width
    former_linear = (49 * 8 * width * wide + wide) + (wide * wide + wide)
    expected = convolutions + former_linear + wide * classes + classes
    assert parameters(FCN32s(2, classes, width=width)) == expected


def test_a_score_sees_404_pixels() -> None:
    """The receptive field of VGG16's first linear layer as a convolution is 404 pixels wide.

    It starts 186 pixels left of the 32 pixels that the score stands for, and ends as far right.
    """
    network = all_ones(FCN32s(1, 1, width=1, dropout=0.0))
    start, end = 8 * 32 - 186, 9 * 32 + 186
    assert end - start == 404
    seen = [
        bool(scores(network, position)[..., 8].any())
        for position in (start - 1, start, end - 1, end)
    ]
    assert seen == [False, True, True, False]


def test_scores_are_enlarged_bilinearly_around_the_centres_of_their_pixels() -> None:
    network = FCN32s(1, 1, width=1, dropout=0.0)
    network.features = nn.Sequential(nn.AvgPool2d(32, ceil_mode=True))
    network.classifier = nn.Sequential()
    ramp = torch.arange(150.0).expand(1, 1, 70, 150)
    logits = network(ramp)
    assert logits.shape == ramp.shape
    torch.testing.assert_close(logits[..., 16:112], ramp[..., 16:112])


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (33, 160)])
def test_any_size(size: tuple[int, int]) -> None:
    assert FCN32s(1, 2, width=1)(torch.rand(1, 1, *size)).shape == (1, 2, *size)


def test_dropout_follows_both_former_linear_layers() -> None:
    layers = [type(layer) for layer in FCN32s(1, 2, width=1).classifier]
    assert layers == [nn.Conv2d, nn.ReLU, nn.Dropout] * 2 + [nn.Conv2d]


def test_dropout_only_in_training() -> None:
    network = FCN32s(1, 2, width=2, dropout=0.5)
    image = torch.rand(1, 1, 64, 64, generator=generator())
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize(("width", "dropout"), [(0, 0.5), (4, 1.0), (4, -0.1)])
def test_refuses_values_out_of_range(width: int, dropout: float) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        FCN32s(1, 2, width=width, dropout=dropout)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def all_ones(network: FCN32s) -> FCN32s:
    """Weights of one and no biases: any path from an input to an output shows."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return network.double()


def scores(network: FCN32s, position: int) -> Tensor:
    """Scores before the upsampling of an image 544 wide that is 1 in one column and else 0."""
    image = torch.zeros(1, 1, 32, 544, dtype=torch.float64)
    image[..., position] = 1.0
    with torch.no_grad():
        return network.classifier(network.features(image))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
