import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators import DISCRIMINATORS
from nas.errors import RunError, UsageError
from nas.networks import (
    build_discriminator,
    build_segmenter,
    check_options,
    find_genotype,
    keyword_options,
    parse_specification,
)
from nas.segmenters import SEGMENTERS
from search_spaces import cell_genotype, genotypes

DARTS_TEXT = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 0), "
    "('dil_conv_5x5', 2)], normal_concat=[2, 3], reduce=[('avg_pool_3x3', 0), "
    "('sep_conv_5x5', 1), ('skip_connect', 1), ('dil_conv_3x3', 2)], reduce_concat=[2, 3])"
)

SMALL = {
    "unet": "unet?width=6&depth=3",
    "fcn32s": "fcn32s?width=4&dropout=0",
    "resnet10": "resnet10?width=8",
    "resnet18": "resnet18?width=8",
    "resnet50": "resnet50?width=4",
}
"""A specification that is quick to train, where the network with its defaults is not."""

every_segmenter = pytest.mark.parametrize("name", SEGMENTERS)
every_discriminator = pytest.mark.parametrize("name", DISCRIMINATORS)


@pytest.fixture
def genotype_file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.json"
    network = cell_genotype.Network(channels=4, layout="NR")
    genotypes.write(cell_genotype.from_darts_text(DARTS_TEXT, network), path)
    return path


# What every network promises


@pytest.mark.parametrize("specification", ["unet?width=8", "fcn32s?width=8"])
def test_convolutions_start_as_he_prescribes(specification: str) -> None:
    """With variance 2 / N of the weights; torch's own rule gives 1 / (3 N), and biases."""
    torch.manual_seed(0)
    network = build_segmenter(specification, 1, 3)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    ratios = torch.stack([layer.weight.var() * layer.weight[0].numel() for layer in layers])
    assert float(ratios.detach().median()) == pytest.approx(2, rel=0.1)
    assert not any(bool(layer.bias.any()) for layer in layers if layer.bias is not None)


@every_segmenter
@pytest.mark.parametrize("size", [(32, 32), (65, 97)])
def test_segmenters_give_logits_of_the_size_of_the_image(name: str, size: tuple[int, int]) -> None:
    logits = segmenter(name)(torch.rand(2, 1, *size))
    assert logits.shape == (2, 3, *size)
    assert not torch.allclose(logits.sum(1), torch.ones(2, *size)), "softmax belongs to the loss"


@every_discriminator
@pytest.mark.parametrize("size", [(32, 32), (65, 97)])
def test_discriminators_give_logits(name: str, size: tuple[int, int]) -> None:
    logits = discriminator(name)(torch.rand(2, 3, *size))
    assert logits.shape[:2] == (2, 1)
    assert logits.ndim in (2, 4)


@every_segmenter
def test_segmenters_learn_four_images(name: str) -> None:
    images, labels = four_images()
    network = segmenter(name)
    before, after = train(
        network, lambda: functional.cross_entropy(network(images), labels), rate=3e-3
    )
    assert after < 0.5 * before


@every_discriminator
def test_discriminators_learn_four_images(name: str) -> None:
    """Squares at random places, and the same with their pixels shuffled."""
    _, labels = four_images()
    real = functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    order = torch.randperm(real[0, 0].numel(), generator=generator())
    fake = real.flatten(2)[..., order].reshape(real.shape)
    maps, truth = torch.cat([real, fake]), torch.tensor([1.0] * 4 + [0.0] * 4)
    network = discriminator(name)

    def loss() -> Tensor:
        verdicts = network(maps).flatten(1).mean(1)
        return functional.binary_cross_entropy_with_logits(verdicts, truth)

    before, after = train(network, loss, rate=1e-3)
    assert after < 0.5 * before


@every_segmenter
def test_segmenters_save_and_load(name: str, tmp_path: Path) -> None:
    assert_saves_and_loads(lambda: segmenter(name), torch.rand(2, 1, 48, 64), tmp_path)


@every_discriminator
def test_discriminators_save_and_load(name: str, tmp_path: Path) -> None:
    assert_saves_and_loads(lambda: discriminator(name), torch.rand(2, 3, 48, 64), tmp_path)


@every_discriminator
def test_gradient_reaches_every_channel_and_corner_of_the_map(name: str) -> None:
    maps = torch.rand(2, 3, 65, 97, generator=generator()).requires_grad_()
    discriminator(name)(maps).square().sum().backward()
    assert maps.grad is not None
    reached = maps.grad.abs() > 0
    corners = [
        reached[..., h, w] for h in (slice(8), slice(-8, None)) for w in (slice(8), slice(-8, None))
    ]
    assert all(bool(corner.any(-1).any(-1).all()) for corner in corners)


@pytest.mark.parametrize(
    ("build", "channels"),
    [*((lambda n=n: segmenter(n), 1) for n in SEGMENTERS)]
    + [*((lambda n=n: discriminator(n), 3) for n in DISCRIMINATORS)],
)
def test_second_derivatives_exist(build: Callable[[], nn.Module], channels: int) -> None:
    """The exact hypergradient differentiates a gradient."""
    network = build().double()
    images = torch.rand(2, channels, 64, 64, generator=generator(), dtype=torch.float64)
    loss = network(images).square().mean()
    weights = list(network.parameters())
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    size = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    second = torch.autograd.grad(size, weights)
    assert all(bool(g.isfinite().all()) for g in second)
    assert any(bool(g.any()) for g in second)


@pytest.mark.parametrize("table", [SEGMENTERS, DISCRIMINATORS])
def test_every_network_has_a_description(table: dict[str, tuple[str, str]]) -> None:
    assert all(description and "\n" not in description for _, description in table.values())


# What a user may write


def test_a_name_alone() -> None:
    assert parse_specification("unet") == ("unet", {})


def test_a_name_with_options() -> None:
    assert parse_specification("unet?width=16&depth=3") == ("unet", {"width": "16", "depth": "3"})


@pytest.mark.parametrize("text", ["unet?width", "unet?=3", "unet?width=1&width=2", "unet?a=1&"])
def test_refuses_what_is_no_option(text: str) -> None:
    with pytest.raises(UsageError):
        parse_specification(text)


def test_options_change_the_network() -> None:
    narrow = build_segmenter("unet?width=4&depth=2&normalisation=group", 1, 2)
    assert isinstance(narrow, nn.Module)
    assert sum(isinstance(module, nn.GroupNorm) for module in narrow.modules()) == 10
    assert narrow.state_dict()["head.weight"].shape == (2, 4, 1, 1)


def test_options_have_the_types_of_their_annotations() -> None:
    def constructor(
        in_channels: int, *, count: int = 1, share: float = 0.5, deep: bool = False, name: str = "a"
    ) -> nn.Module:
        raise NotImplementedError

    spec = parse_specification("net?count=3&share=2&deep=true&name=12")
    values = check_options(spec, keyword_options(constructor))
    assert values == {"count": 3, "share": 2.0, "deep": True, "name": "12"}
    assert [type(value) for value in values.values()] == [int, float, bool, str]


def test_unknown_segmenter_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        build_segmenter("unnet", 1, 2)
    assert "did you mean 'unet'?" in str(error.value)
    assert all(name in str(error.value) for name in SEGMENTERS)


def test_unknown_discriminator_is_told_of_genotypes() -> None:
    with pytest.raises(UsageError, match=r"resnet10.*\.json"):
        build_discriminator("zzz", 3)


def test_unknown_option_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        build_segmenter("unet?widht=3", 1, 2)
    assert "did you mean 'width'?" in str(error.value)
    assert "width=64, depth=4, normalisation=none" in str(error.value)


@pytest.mark.parametrize(
    "specification",
    ["unet?width=wide", "unet?width=1.5", "unet?normalisation=spectral", "unet?width=0"],
)
def test_values_that_do_not_fit(specification: str) -> None:
    with pytest.raises(UsageError, match="unet"):
        build_segmenter(specification, 1, 2)


@pytest.mark.parametrize("option", ["outputs=2", "in_channels=2"])
def test_what_the_toolkit_decides_is_no_option(option: str) -> None:
    with pytest.raises(UsageError, match="no option"):
        build_discriminator(f"resnet10?{option}", 3)


def test_a_genotype_is_a_discriminator(genotype_file: Path) -> None:
    network = build_discriminator(str(genotype_file), 3)
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 1)
    wider = build_discriminator(f"{genotype_file}?channels=8", 3)
    assert parameters(wider) > 2 * parameters(network)


def test_a_genotype_takes_the_options_of_its_network(genotype_file: Path) -> None:
    with pytest.raises(UsageError, match="channels=4.*layout=NR"):
        build_discriminator(f"{genotype_file}?width=8", 3)
    with pytest.raises(UsageError, match="layout"):
        build_discriminator(f"{genotype_file}?layout=NX", 3)
    with pytest.raises(UsageError, match="no option 'sees_image'"):
        build_discriminator(f"{genotype_file}?sees_image=true", 3)


def test_find_genotype(genotype_file: Path) -> None:
    assert find_genotype("resnet10") is None
    found = find_genotype(f"{genotype_file}?channels=8")
    assert found is not None
    assert found.network.channels == 4


def test_a_genotype_that_is_missing_or_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing.json"):
        build_discriminator(str(tmp_path / "nothing.json"), 3)
    foreign = tmp_path / "foreign.json"
    foreign.write_text('{"a": 1}')
    with pytest.raises(RunError, match="foreign.json"):
        build_discriminator(str(foreign), 3)


def test_names_are_known_without_torch() -> None:
    code = "import nas.networks, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def segmenter(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_segmenter(SMALL.get(name, name), 1, 3)


def discriminator(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_discriminator(SMALL.get(name, name), 3)


def four_images() -> tuple[Tensor, Tensor]:
    """Grey images (4, 1, 64, 64) of a bright and a grey square in noise, and their labels."""
    labels = torch.zeros(4, 64, 64, dtype=torch.int64)
    for index in range(4):
        top, left = 4 + 8 * index, 30 - 8 * index
        labels[index, top : top + 24, left : left + 24] = 1
        labels[index, 36:60, 38:62] = 2
    noise = 0.05 * torch.rand(4, 1, 64, 64, generator=generator())
    return labels[:, None] / 3 + noise, labels


def train(network: nn.Module, loss: Callable[[], Tensor], rate: float) -> tuple[float, float]:
    """The loss before and after 60 steps of Adam."""
    optimizer = torch.optim.Adam(network.parameters(), rate)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values[0], values[-1]


def assert_saves_and_loads(build: Callable[[], nn.Module], images: Tensor, folder: Path) -> None:
    network = build()
    network(images)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    torch.save(network.state_dict(), folder / "weights.pt")
    other = build()
    other.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    assert torch.equal(network.eval()(images), other.eval()(images))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
