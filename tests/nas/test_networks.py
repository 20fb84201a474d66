"""Networks by name: what each promises, and what a user may write."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.discriminators import DISCRIMINATORS
from nas.errors import RunError, UsageError
from nas.networks import build_discriminator, build_segmenter, find_genotype
from nas.segmenters import SEGMENTERS
from search_spaces import cell_genotype, genotypes
from search_spaces.parametric_genotypes import (
    ConcatenationFCN,
    ConcatenationFCNGenotype,
    FlexVGG,
    FlexVGGGenotype,
)

DARTS_TEXT = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 0), "
    "('dil_conv_5x5', 2)], normal_concat=[2, 3], reduce=[('avg_pool_3x3', 0), "
    "('sep_conv_5x5', 1), ('skip_connect', 1), ('dil_conv_3x3', 2)], reduce_concat=[2, 3])"
)

SMALL = {
    "unet": "unet?width=6&depth=3",
    "compressed_unet": "compressed_unet?width=8",
    "fcn32s": "fcn32s?width=4&dropout=0",
    "fcn16s": "fcn16s?width=4&dropout=0",
    "fcn8s": "fcn8s?width=6&dropout=0",
    "concatenation_fcn": "concatenation_fcn?channels=8&blocks=3",
    "dan_sn": "dan_sn?width=2",
    "dcan": "dcan?width=4",
    "deeplabv3plus": "deeplabv3plus?width=8&middle_modules=2",
    "resnet10": "resnet10?width=8",
    "resnet18": "resnet18?width=8",
    "resnet50": "resnet50?width=4",
    "vgg16": "vgg16?width=4&dropout=0",
    "dan_en": "dan_en?width=4",
    "flexvgg": "flexvgg?channels=8&blocks=3&features=16",
    "patchgan": "patchgan?width=8",
    "fcn": "fcn?width=8&depth=3",
    "dc_net": "dc_net?width=8",
}
"""A specification that is quick to train, where the network with its defaults is not."""

FOREIGN_SEGMENTER = "monai:UNet?channels=8,16,32&strides=2,2&norm=batch"
FOREIGN_DISCRIMINATORS = (
    "monai:PatchDiscriminator?channels=8",
    "monai:Discriminator?channels=8,16,16&strides=2,2,2&dropout=0",
)
"""Networks of other libraries, adapted, promise the same."""

needs_monai = pytest.mark.skipif(find_spec("monai") is None, reason="MONAI is not installed")
all_segmenters = [*SEGMENTERS, pytest.param(FOREIGN_SEGMENTER, marks=needs_monai)]
all_discriminators = [
    *DISCRIMINATORS,
    *(pytest.param(name, marks=needs_monai) for name in FOREIGN_DISCRIMINATORS),
]
every_segmenter = pytest.mark.parametrize("name", all_segmenters)
every_discriminator = pytest.mark.parametrize("name", all_discriminators)


@pytest.fixture
def genotype_file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.json"
    network = cell_genotype.Network(channels=4, layout="NR")
    genotypes.write(cell_genotype.from_darts_text(DARTS_TEXT, network), path)
    return path


@pytest.fixture
def segmenter_file(tmp_path: Path) -> Path:
    path = tmp_path / "fcn.json"
    network = ConcatenationFCN(channels=4, blocks=3, in_channels=3, outputs=5)
    genotypes.write(ConcatenationFCNGenotype(network), path)
    return path


@pytest.fixture
def flexvgg_file(tmp_path: Path) -> Path:
    path = tmp_path / "flexvgg.json"
    network = FlexVGG(channels=4, blocks=2, features=4, outputs=7)
    genotypes.write(FlexVGGGenotype(network), path)
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


@every_segmenter
def test_second_derivatives_of_segmenters_exist(name: str) -> None:
    assert_second_derivatives_exist(segmenter(name), 1)


@every_discriminator
def test_second_derivatives_of_discriminators_exist(name: str) -> None:
    assert_second_derivatives_exist(discriminator(name), 3)


def assert_second_derivatives_exist(network: nn.Module, channels: int) -> None:
    """The exact hypergradient differentiates a gradient."""
    network = network.double()
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


def test_options_change_the_network() -> None:
    narrow = build_segmenter("unet?width=4&depth=2&normalisation=group", 1, 2)
    assert isinstance(narrow, nn.Module)
    assert sum(isinstance(module, nn.GroupNorm) for module in narrow.modules()) == 10
    assert narrow.state_dict()["head.weight"].shape == (2, 4, 1, 1)


def test_unknown_segmenter_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        build_segmenter("unnet", 1, 2)
    assert "did you mean 'unet'?" in str(error.value)
    assert all(name in str(error.value) for name in SEGMENTERS)


def test_unknown_discriminator_is_told_of_genotypes() -> None:
    with pytest.raises(UsageError, match=r"resnet10.*\.json.*smp:, monai:, python:"):
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


def test_a_genotype_is_a_segmenter(segmenter_file: Path) -> None:
    """Channels and classes are those of the data, whatever the genotype was searched with."""
    network = build_segmenter(str(segmenter_file), 1, 2)
    assert network(torch.rand(2, 1, 33, 65)).shape == (2, 2, 33, 65)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    changed = build_segmenter(f"{segmenter_file}?channels=8&normalisation=group", 1, 2)
    assert parameters(changed) > 3 * parameters(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in changed.modules())


def test_a_discriminator_of_a_genotype_gives_one_verdict(flexvgg_file: Path) -> None:
    network = build_discriminator(f"{flexvgg_file}?pooled=2,2", 3)
    assert network(torch.rand(2, 3, 33, 65)).shape == (2, 1)
    assert parameters(network) > parameters(build_discriminator(str(flexvgg_file), 3))


def test_a_genotype_of_the_other_role_is_refused(genotype_file: Path, segmenter_file: Path) -> None:
    with pytest.raises(UsageError, match="cells.json describes a discriminator.*--discriminator"):
        build_segmenter(str(genotype_file), 1, 2)
    with pytest.raises(UsageError, match="fcn.json describes a segmenter.*--backbone"):
        build_discriminator(str(segmenter_file), 3)


@pytest.mark.parametrize("option", ["in_channels=3", "outputs=2", "depth=0", "depth=1.5", "taps=9"])
def test_options_of_a_segmenters_genotype(segmenter_file: Path, option: str) -> None:
    with pytest.raises(UsageError, match=option.partition("=")[0]):
        build_segmenter(f"{segmenter_file}?{option}", 1, 2)


@needs_monai
def test_networks_of_other_libraries_are_adapted() -> None:
    with pytest.raises(UsageError, match=r"monai:DenseNet121, tried on .* gives \(2, 3\)"):
        build_segmenter("monai:DenseNet121?init_features=4&growth_rate=4&block_config=1,1", 1, 3)
    with pytest.raises(UsageError, match=r"monai:UNet.*\(2, 1\) or \(2, 1, h, w\)"):
        build_discriminator("monai:UNet?channels=4,8&strides=2&spatial_dims=3", 3)


@needs_monai
def test_a_discriminator_of_another_library_has_one_output() -> None:
    pixels = build_discriminator("monai:UNet?channels=4,8&strides=2", 3)
    assert pixels(torch.rand(2, 3, 33, 65)).shape == (2, 1, 33, 65)


@needs_monai
def test_the_weights_of_another_library_depend_on_the_seed_alone() -> None:
    first, second = (segmenter(FOREIGN_SEGMENTER).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


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


def test_a_space_is_no_network() -> None:
    with pytest.raises(UsageError, match="nas-derive writes"):
        build_segmenter("search:concatenation_fcn", 1, 2)
