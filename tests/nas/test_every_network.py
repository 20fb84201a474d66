"""What holds for every network that has a name: it learns, fits any size, is saved and loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

import search_spaces
from nas.discriminators import DISCRIMINATORS
from nas.losses.adversarial import discrimination_loss
from nas.segmenters import SEGMENTERS

CLASSES = 2
SIZE = 64
STEPS = 60
THIN = {"width": 8, "channels": 8, "middle_modules": 1, "dropout": 0.0}
"""Options that make a network small and its training steady, for those that have them."""

GROUP = {"normalisation": "group"}


def build(entry: tuple[str, str], *ends: int, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    constructor = search_spaces.find(entry[0])
    known = inspect.signature(constructor).parameters
    chosen = {name: value for name, value in {**THIN, **options}.items() if name in known}
    network: nn.Module = constructor(*ends, **chosen)
    return network


def four_images() -> tuple[Tensor, Tensor]:
    """Bright squares on dark ground (4, 1, SIZE, SIZE), and where they are (4, SIZE, SIZE)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(4, SIZE, SIZE, dtype=torch.long)
    for number in range(4):
        row, column = torch.randint(0, SIZE // 2, (2,), generator=generator).tolist()
        labels[number, row : row + SIZE // 2, column : column + SIZE // 2] = 1
    images = 0.2 + 0.6 * labels + 0.1 * torch.rand(labels.shape, generator=generator)
    return images[:, None], labels


def descend(network: nn.Module, loss: Callable[[], Tensor], rate: float) -> tuple[float, float]:
    """The loss before and after some steps."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    before = loss().item()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return before, loss().item()


@pytest.mark.slow
@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_segmenter_learns_four_images(name: str) -> None:
    images, labels = four_images()
    network = build(SEGMENTERS[name], 1, CLASSES, **GROUP)
    before, after = descend(network, lambda: cross_entropy(network(images), labels), 3e-3)
    assert after < 0.65 * min(before, 0.69), (before, after)


@pytest.mark.slow
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_tells_four_masks_from_noise(name: str) -> None:
    _, labels = four_images()
    truth = one_hot(labels, CLASSES).movedim(-1, 1).float()
    noise = torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)).softmax(1)
    network = build(DISCRIMINATORS[name], CLASSES, **GROUP)
    before, after = descend(
        network, lambda: discrimination_loss(network(truth), network(noise)), 3e-3
    )
    assert after < 0.3 * min(before, 1.39), (before, after)


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("size", [(32, 32), (65, 97)])
def test_a_segmenter_fits_any_size(name: str, size: tuple[int, int]) -> None:
    network = build(SEGMENTERS[name], 3, CLASSES).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size)).shape == (1, CLASSES, *size)


@pytest.mark.parametrize("name", DISCRIMINATORS)
@pytest.mark.parametrize("size", [(32, 32), (65, 97)])
def test_a_discriminator_fits_any_size_and_passes_gradients(
    name: str, size: tuple[int, int]
) -> None:
    network = build(DISCRIMINATORS[name], CLASSES + 1).eval()
    maps = torch.rand(2, CLASSES + 1, *size, requires_grad=True)
    verdict = network(maps)
    assert verdict.shape[:2] == (2, 1)
    assert verdict.dim() in (2, 4)
    (slope,) = torch.autograd.grad(verdict.sum(), maps)
    assert bool(slope.abs().sum() > 0)


@pytest.mark.parametrize("size", [(775, 522), (565, 584)])
@pytest.mark.parametrize("name", SEGMENTERS)
def test_the_sizes_of_published_images(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = search_spaces.find(SEGMENTERS[name][0])(3, CLASSES)
        assert network(torch.rand(1, 3, *size)).shape == (1, CLASSES, *size)


@pytest.mark.parametrize(
    ("table", "name", "ends"),
    [
        *((SEGMENTERS, name, (1, CLASSES)) for name in SEGMENTERS),
        *((DISCRIMINATORS, name, (CLASSES,)) for name in DISCRIMINATORS),
    ],
)
def test_a_saved_network_is_the_same_when_it_is_loaded(
    table: dict[str, tuple[str, str]], name: str, ends: tuple[int, ...], tmp_path: Path
) -> None:
    network = build(table[name], *ends).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(1)
    constructor = search_spaces.find(table[name][0])
    known = inspect.signature(constructor).parameters
    other = constructor(*ends, **{key: value for key, value in THIN.items() if key in known}).eval()
    images = torch.rand(1, ends[0], SIZE, SIZE)
    with torch.no_grad():
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(network(images), other(images))


@pytest.mark.parametrize("name", DISCRIMINATORS)
@pytest.mark.parametrize("normalisation", ["batch", "instance", "group", "spectral", "none"])
def test_every_discriminator_has_a_choice_of_normalisation(name: str, normalisation: str) -> None:
    network = build(DISCRIMINATORS[name], CLASSES, normalisation=normalisation)
    maps = torch.rand(2, CLASSES, SIZE, SIZE)
    assert bool(network(maps).isfinite().all())
    layers = {
        "batch": (nn.BatchNorm1d, nn.BatchNorm2d),
        "instance": (nn.InstanceNorm2d,),
        "group": (nn.GroupNorm,),
    }
    every = tuple(kind for kinds in layers.values() for kind in kinds)
    found = [module for module in network.modules() if isinstance(module, every)]
    assert all(isinstance(each, layers.get(normalisation, ())) for each in found)
    assert bool(found) == (normalisation in layers)
    parametrised = [m for m in network.modules() if hasattr(m, "parametrizations")]
    assert bool(parametrised) == (normalisation == "spectral")
