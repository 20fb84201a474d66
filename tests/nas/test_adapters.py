"""Networks of other libraries behind the toolkit's face."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.adapters import Adapted, Answer, adapt
from nas.errors import UsageError

SEGMENTER = Answer("net", "segmenter", 2, 3)
DISCRIMINATOR = Answer("net", "discriminator", 2, 1)


class Function(nn.Module):
    """A 1x1 convolution, and whatever is done with its logits."""

    def __init__(self, change: Callable[[Tensor], object], outputs: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, outputs, 1)
        self.change = change

    def forward(self, images: Tensor) -> object:
        return self.change(self.convolution(images))


class Strict(nn.Module):
    """A 1x1 convolution that takes heights and widths divisible by a number alone."""

    def __init__(self, multiple: int, outputs: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, outputs, 1)
        self.multiple = multiple

    def forward(self, images: Tensor) -> Tensor:
        if any(side % self.multiple for side in images.shape[2:]):
            raise RuntimeError(f"not divisible by {self.multiple}")
        return self.convolution(images)


class Restless(nn.Module):
    """Everything that a pass can leave a trace in."""

    def __init__(self) -> None:
        super().__init__()
        spectral = nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 4, 3, padding=1))
        self.layers = nn.Sequential(spectral, nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 3, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits + torch.rand(())


def pooled(logits: Tensor) -> Tensor:
    return logits.mean((2, 3))


def by_mode(network: nn.Module, training: object, evaluation: object) -> object:
    return training if network.training else evaluation


def refuse(network: nn.Module, answer: Answer, *words: str) -> None:
    with pytest.raises(UsageError) as error:
        adapt(network, answer)
    for word in ("net", *words):
        assert word in str(error.value), (word, str(error.value))


# What is used as it is


@pytest.mark.parametrize(
    ("network", "answer"),
    [
        (Function(lambda logits: logits), SEGMENTER),
        (Function(lambda logits: logits.log_softmax(1)), SEGMENTER),
        (Function(lambda logits: logits, 1), DISCRIMINATOR),
        (Function(lambda logits: logits[..., ::2, ::2], 1), DISCRIMINATOR),
        (Function(pooled, 1), DISCRIMINATOR),
    ],
)
def test_networks_that_keep_the_promise(network: nn.Module, answer: Answer) -> None:
    assert adapt(network, answer) is network


def test_nothing_is_left_of_the_trial() -> None:
    network = Restless()
    network.layers[1].eval()
    modes = [module.training for module in network.modules()]
    before = copy.deepcopy(network.state_dict())
    noise = torch.random.get_rng_state()
    assert adapt(network, SEGMENTER) is network
    assert torch.equal(noise, torch.random.get_rng_state())
    assert modes == [module.training for module in network.modules()]
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in after)
    assert all(weight.grad is None for weight in network.parameters())


def test_a_caller_without_gradients_makes_no_difference() -> None:
    network = Function(lambda logits: logits)
    with torch.no_grad():
        assert adapt(network, SEGMENTER) is network


def test_modes_are_restored_after_a_refusal() -> None:
    network = Function(lambda logits: logits[:, 1:])
    refuse(network, SEGMENTER)
    assert all(module.training for module in network.modules())


def test_networks_without_memory_are_tried_too() -> None:
    with torch.device("meta"):
        adapted = adapt(Strict(8), SEGMENTER)
    assert isinstance(adapted, Adapted)
    assert adapted.multiple == 8


# Sizes


@pytest.mark.parametrize("multiple", [2, 4, 8, 16, 32, 64])
def test_sizes_are_padded_to_the_smallest_multiple_that_works(multiple: int) -> None:
    """A 1x1 convolution sees no neighbours: padded and cropped, it is the convolution itself."""
    network = Strict(multiple)
    adapted = adapt(network, SEGMENTER)
    assert isinstance(adapted, Adapted)
    assert adapted.multiple == multiple
    for size in ((65, 67), (33, 128), (64, 64)):
        images = torch.rand(2, 2, *size)
        torch.testing.assert_close(adapted(images), network.convolution(images))


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("answer", [SEGMENTER, DISCRIMINATOR])
def test_outputs_of_another_size_are_mended(answer: Answer, ceil: bool) -> None:
    """A network that pools and enlarges gives 64 or 68 pixels for 65, and 64 or 68 for 67."""

    def coarse(logits: Tensor) -> Tensor:
        pooled = functional.avg_pool2d(logits, 4, ceil_mode=ceil)
        return functional.interpolate(pooled, scale_factor=4)

    network = Function(coarse, answer.outputs)
    adapted = adapt(network, answer)
    assert isinstance(adapted, Adapted)
    assert adapted.multiple == 4
    images = torch.rand(1, 2, 65, 67)
    padded = torch.zeros(1, 2, 68, 68)
    padded[..., :65, :67] = images
    torch.testing.assert_close(adapted(images), network(padded)[..., :65, :67])


def test_verdicts_on_pixels_are_cropped_and_others_are_not() -> None:
    pixels = adapt(Strict(8, outputs=1), DISCRIMINATOR)
    assert pixels(torch.rand(1, 2, 65, 67)).shape == (1, 1, 65, 67)
    image = nn.Sequential(Strict(8, outputs=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert adapt(image, DISCRIMINATOR)(torch.rand(40, 2, 33, 67)).shape == (40, 1)
    patches = nn.Sequential(Strict(8, outputs=1), nn.AvgPool2d(8))
    assert adapt(patches, DISCRIMINATOR)(torch.rand(1, 2, 65, 67)).shape == (1, 1, 9, 9)


def test_gradients_pass_the_padding_twice() -> None:
    """The sum of squares of a convolution of ones: gradient 2x, and the sum of that twice again."""
    network = Strict(8, outputs=1).double()
    for weight, value in zip(network.parameters(), (1.0, 0.0), strict=True):
        nn.init.constant_(weight, value)
    adapted = Adapted(network, 8, None, cropped=True)
    maps = torch.rand(1, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(adapted(maps).square().sum(), maps, create_graph=True)
    torch.testing.assert_close(first, 2 * maps.sum(1, keepdim=True).expand_as(maps))
    (second,) = torch.autograd.grad(first.sum(), maps)
    torch.testing.assert_close(second, torch.full_like(maps, 4))


def test_networks_that_are_tied_to_a_size() -> None:
    tied = nn.Sequential(nn.Conv2d(2, 1, 1), nn.Flatten(), nn.Linear(64 * 64, 1))
    refuse(tied, DISCRIMINATOR, "tied to a size", "64x64", "129x131")
    patches = nn.Sequential(nn.Conv2d(2, 1, 16, stride=16), nn.Flatten(), nn.Linear(4 * 4, 1))
    assert patches(torch.rand(2, 2, 65, 67)).shape == (2, 1)
    refuse(patches, DISCRIMINATOR, "tied to a size")


def test_a_size_must_fit_in_training_and_in_evaluation() -> None:
    class Careless(Strict):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) if self.training else self.convolution(images)

    adapted = adapt(Careless(4), SEGMENTER)
    assert isinstance(adapted, Adapted)
    assert adapted.multiple == 4


# Several outputs


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda logits: [logits], 0),
        (lambda logits: (pooled(logits), logits), 1),
        (lambda logits: [logits[..., ::2, ::2], logits, logits.sum(), None], 1),
        (lambda logits: {"aux": pooled(logits), "out": logits}, "out"),
    ],
)
def test_the_only_map_of_the_right_shape_is_the_answer(
    change: Callable[[Tensor], object], place: int | str
) -> None:
    network = Function(change)
    adapted = adapt(network, SEGMENTER)
    assert isinstance(adapted, Adapted)
    assert adapted.place == place
    images = torch.rand(1, 2, 65, 67)
    torch.testing.assert_close(adapted(images), network.convolution(images))


def test_the_only_verdict_among_features_is_the_answer() -> None:
    network = Function(lambda logits: [logits, logits[:, :2], logits[:, :1]])
    adapted = adapt(network, DISCRIMINATOR)
    images = torch.rand(1, 2, 65, 67)
    torch.testing.assert_close(adapted(images), network.convolution(images)[:, :1])


def test_several_outputs_in_training_alone() -> None:
    network = Function(lambda logits: logits)
    network.change = lambda logits: by_mode(network, [logits[..., ::2], logits], logits)
    adapted = adapt(network, SEGMENTER)
    images = torch.rand(1, 2, 65, 67)
    expected = network.convolution(images)
    torch.testing.assert_close(adapted.train()(images), expected)
    torch.testing.assert_close(adapted.eval()(images), expected)


def test_outputs_that_leave_a_doubt() -> None:
    refuse(
        Function(lambda logits: [logits, 2 * logits]),
        SEGMENTER,
        "[(2, 3, 64, 64), (2, 3, 64, 64)]",
        "(2, 3, 64, 64) for 3 classes were expected, once",
        "deep supervision",
    )
    network = Function(lambda logits: logits)
    network.change = lambda logits: by_mode(network, [logits, None], [None, logits])
    refuse(network, SEGMENTER, "different places")


# What is refused


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda logits: logits[:, :2], "gives (2, 2, 64, 64)"),
        (lambda logits: logits[..., :32], "gives (2, 3, 64, 32)"),
        (lambda logits: logits[:, None], "gives (2, 1, 3, 64, 64)"),
        (lambda logits: [pooled(logits), [logits]], "gives [(2, 3), [(2, 3, 64, 64)]]"),
        (lambda logits: "text", "gives str"),
    ],
)
def test_outputs_of_another_shape(change: Callable[[Tensor], object], found: str) -> None:
    refuse(Function(change), SEGMENTER, "64x64", found, "(2, 3, 64, 64) for 3 classes")


@pytest.mark.parametrize(
    "change",
    [lambda logits: logits, lambda logits: pooled(logits)[:, 0], lambda logits: logits[:, :1, 0]],
)
def test_verdicts_of_another_shape(change: Callable[[Tensor], object]) -> None:
    refuse(Function(change), DISCRIMINATOR, "(2, 1) or (2, 1, h, w)")


def test_an_answer_must_be_right_in_training_and_in_evaluation() -> None:
    network = Function(lambda logits: logits)
    network.change = lambda logits: by_mode(network, logits[:, None], logits)
    refuse(network, SEGMENTER, "(2, 1, 3, 64, 64)")


def test_other_channels() -> None:
    network = Function(lambda logits: logits)
    answer = SEGMENTER.__class__("net", "segmenter", 5, 3)
    refuse(network, answer, "5 channel(s)", "fails", "to have 2 channels, but got 5")


def test_small_images_that_fail() -> None:
    refuse(Strict(128), SEGMENTER, "64x64", "not divisible by 128")


@pytest.mark.parametrize(
    ("change", "activation"),
    [
        (lambda logits: logits.softmax(1), "softmax"),
        (lambda logits: logits.sigmoid(), "sigmoid"),
        (lambda logits: logits[:, None].sigmoid().squeeze(1).clone()[..., :], "sigmoid"),
        (lambda logits: functional.avg_pool2d(logits.softmax(1), 3, 1, 1, False, False), "softmax"),
    ],
)
def test_probabilities(change: Callable[[Tensor], object], activation: str) -> None:
    refuse(Function(change), SEGMENTER, f"probabilities ({activation}", "logits")


def test_a_discriminator_that_gives_probabilities() -> None:
    refuse(Function(lambda logits: pooled(logits).sigmoid(), 1), DISCRIMINATOR, "sigmoid")


def test_probabilities_without_memory() -> None:
    with torch.device("meta"):
        network = Function(lambda logits: logits.softmax(1))
    with torch.device("meta"):
        refuse(network, SEGMENTER, "softmax")


@pytest.mark.parametrize(
    "change", [lambda logits: logits.detach(), lambda logits: logits.sign().round().long()]
)
def test_outputs_without_a_gradient(change: Callable[[Tensor], object]) -> None:
    refuse(Function(change), SEGMENTER, "no gradient")


def test_layers_without_weights() -> None:
    refuse(nn.Sequential(nn.LazyConv2d(3, 1), nn.LazyBatchNorm2d()), SEGMENTER, "torch.nn.Lazy")
