from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import nn

from nas.discriminators.resnet import Residual, ResNet, resnet10, resnet18, resnet50
from search_spaces.description import Normalisation

NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)


@pytest.mark.parametrize(
    ("constructor", "expected"), [(resnet18, 11_689_512), (resnet50, 25_557_032)]
)
def test_published_parameter_counts(constructor: Callable[..., ResNet], expected: int) -> None:
    with torch.device("meta"):
        assert parameters(constructor(3, 1000)) == expected


def test_resnet10_lacks_one_block_of_each_stage_of_resnet18() -> None:
    channels = (64, 128, 256, 512)
    second_blocks = sum(2 * (9 * c * c + 2 * c) for c in channels)
    with torch.device("meta"):
        assert parameters(resnet10(3, 1000)) == 11_689_512 - second_blocks
        assert len(resnet10(3).blocks) == 4


@pytest.mark.parametrize("constructor", [resnet10, resnet18, resnet50])
@pytest.mark.parametrize("size", [(65, 97), (64, 64)])
def test_stages_halve_rounding_up(
    constructor: Callable[..., ResNet], size: tuple[int, int]
) -> None:
    network = constructor(2, width=4)
    features = network.blocks(network.stem(torch.rand(2, 2, *size)))
    assert features.shape[-2:] == ((3, 4) if size == (65, 97) else (2, 2))
    assert features.shape[1] == 4 * 8 * (4 if constructor is resnet50 else 1)


def test_blocks_add_their_input() -> None:
    block = resnet18(1, width=4).blocks[1]
    assert isinstance(block, Residual)
    last_norm = block.branch[-1]
    assert isinstance(last_norm, nn.BatchNorm2d)
    nn.init.zeros_(last_norm.weight)
    features = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(block(features), features)


def test_verdict_is_about_the_mean_over_all_positions() -> None:
    network = resnet10(1, width=4)
    network.stem = network.blocks = nn.Sequential()
    network.head = nn.Identity()
    features = torch.rand(2, 8, 5, 7)
    torch.testing.assert_close(network(features), features.flatten(2).mean(2))


def test_blocks_end_with_relu() -> None:
    network = resnet10(1, width=4)
    features = network.blocks(network.stem(torch.rand(2, 1, 64, 64)))
    assert float(features.detach().min()) == 0.0


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_verdict_is_one_logit_an_image(normalisation: Normalisation) -> None:
    network = resnet10(3, width=4, normalisation=normalisation)
    assert network(torch.rand(2, 3, 65, 97)).shape == (2, 1)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_normalisation_is_what_it_says(normalisation: Normalisation) -> None:
    kinds: dict[str, type[nn.Module]] = {
        "batch": nn.BatchNorm2d,
        "instance": nn.InstanceNorm2d,
        "group": nn.GroupNorm,
    }
    network = resnet18(1, width=8, normalisation=normalisation)
    found = {
        name: sum(isinstance(module, kind) for module in network.modules())
        for name, kind in kinds.items()
    }
    convolutions = 1 + 16 + 3
    assert found == {name: convolutions if name == normalisation else 0 for name in kinds}


def test_spectral_norm_bounds_every_layer() -> None:
    torch.manual_seed(0)
    network = resnet10(1, width=4, normalisation="spectral")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(10.0)
        for _ in range(50):
            network(torch.rand(2, 1, 64, 64))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = [layer.weight.detach().flatten(1) for layer in layers]
    largest = [float(torch.linalg.matrix_norm(weight, ord=2)) for weight in weights]
    assert largest == pytest.approx([1.0] * len(layers), abs=0.05)


def test_without_normalisation_the_signal_neither_dies_nor_explodes() -> None:
    torch.manual_seed(0)
    network = resnet50(1, width=16, normalisation="none")
    with torch.no_grad():
        start = network.stem(torch.rand(2, 1, 128, 128))
        end = network.blocks(start)
    ratio = float(end.square().mean() / start.square().mean())
    assert 0.1 < ratio < 100


def test_batches_of_one_image_do_not_depend_on_others_without_batch_norm() -> None:
    network = resnet10(1, width=8, normalisation="group").double()
    images = torch.rand(3, 1, 64, 64, dtype=torch.float64)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone)


def test_refuses_a_width_below_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        resnet10(1, width=0)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
