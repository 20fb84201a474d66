"""What there is to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas import inventory
from nas.data.readers import READERS
from nas.discriminators import DISCRIMINATORS
from nas.errors import RunError, UsageError
from nas.inventory import Task, chosen, everything, relaxed
from nas.networks import PATCH_NETWORKS, build_network
from nas.segmenters import SEGMENTERS
from nas.supernets import DEFAULT_SEARCHES, new_supernet
from search_spaces import SPACES, genotypes
from search_spaces.parametric_genotypes import (
    ConcatenationFCN,
    ConcatenationFCNGenotype,
    FlexVGG,
    FlexVGGGenotype,
)

TASK = Task(size=(64, 96), channels=3, classes=5, sees_image=False)
WITH_IMAGE = TASK._replace(sees_image=True)


def entry(specification: str, task: Task = TASK) -> inventory.Entry:
    (found,) = chosen([specification], task)
    return found


def test_everything_is_there_once_with_a_line() -> None:
    entries = everything(TASK)
    for kind, table in (
        ("segmenter", {**SEGMENTERS, **PATCH_NETWORKS}),
        ("discriminator", DISCRIMINATORS),
        ("space", SPACES),
        ("data set", READERS),
    ):
        assert [each.name for each in entries if each.kind == kind] == list(table)
    assert all(each.description and "\n" not in each.description for each in entries)
    spaces = {each.name: each.role for each in entries if each.kind == "space"}
    assert spaces["cell"] == "discriminator"
    assert spaces["concatenation_fcn"] == "segmenter"
    networks = [each for each in entries if each.kind in ("segmenter", "discriminator")]
    assert all(each.parameters for each in networks)
    unmeasured = {each.name for each in networks if not each.multiply_adds}
    assert unmeasured == set(PATCH_NETWORKS)


def test_a_segmenter_is_built_for_the_channels_and_classes() -> None:
    """U-Net of width 2 without poolings but one: by hand, on a size of 64x96."""
    found = entry("unet?width=2&depth=1")
    pixels = 64 * 96
    down = 9 * (3 * 2 + 2 * 2)
    below = 9 * (2 * 4 + 4 * 4)
    up = 9 * (4 * 2 + 2 * 2)
    transposed, head = 4 * 4 * 2, 2 * 5
    biases = 2 + 2 + 4 + 4 + 2 + 2 + 2 + 5
    assert found.parameters == down + below + transposed + up + head + biases
    assert found.multiply_adds == (down + up + head) * pixels + (below + transposed) * pixels // 4
    assert found.kind == "segmenter"
    assert found.name == "unet?width=2&depth=1"
    assert found.description == SEGMENTERS["unet"][1]


def test_a_discriminator_is_built_for_the_map_or_the_map_and_the_image() -> None:
    """Three channels more are 3 * 49 weights more for each of the 8 filters of 7x7."""
    alone, both = entry("resnet10?width=8"), entry("resnet10?width=8", WITH_IMAGE)
    assert alone.kind == both.kind == "discriminator"
    assert alone.parameters is not None
    assert both.parameters == alone.parameters + 3 * 49 * 8
    segmenter = entry("unet?width=2&depth=1")
    assert segmenter == entry("unet?width=2&depth=1", WITH_IMAGE)


def test_genotypes_know_their_role(tmp_path: Path) -> None:
    network = ConcatenationFCN(channels=4, blocks=3)
    genotypes.write(ConcatenationFCNGenotype(network), tmp_path / "s.json")
    genotypes.write(FlexVGGGenotype(FlexVGG(channels=4, blocks=2)), tmp_path / "d.json")
    segmenter, discriminator = chosen([f"{tmp_path}/s.json", f"{tmp_path}/d.json?blocks=3"], TASK)
    assert segmenter.kind == "segmenter"
    assert "concatenation_fcn" in segmenter.description
    assert discriminator.kind == "discriminator"
    assert "flexvgg" in discriminator.description
    with pytest.raises(RunError, match=r"none\.json"):
        entry(f"{tmp_path}/none.json")


def test_networks_of_other_libraries_are_what_they_can_be() -> None:
    pytest.importorskip("monai")
    segmenter = entry("monai:UNet?channels=4,8&strides=2&act=relu&norm=batch")
    assert segmenter.kind == "segmenter"
    first, below, last = 9 * 3 * 4, 9 * 4 * 8, 9 * 12 * 5
    biases, normalisation = 4 + 8 + 5, 2 * (4 + 8)
    assert segmenter.parameters == first + below + last + biases + normalisation
    assert segmenter.multiply_adds == (first + below + last) * 32 * 48
    discriminator = entry("monai:Critic?channels=4&strides=2&num_res_units=0")
    assert discriminator.kind == "discriminator"
    assert discriminator.parameters == 9 * 5 * 4 + 4
    assert discriminator.multiply_adds == 9 * 5 * 4 * 32 * 48


def test_networks_of_other_libraries_that_are_neither() -> None:
    pytest.importorskip("monai")
    with pytest.raises(UsageError, match=r"As a segmenter: .*As a discriminator: .*"):
        entry("monai:DenseNet121?init_features=4&growth_rate=4&block_config=1&spatial_dims=3")
    with pytest.raises(UsageError, match="^monai.networks.nets has no network"):
        entry("monai:UNett")


def test_a_size_that_a_network_does_not_take() -> None:
    pytest.importorskip("monai")
    text = "monai:PatchDiscriminator?channels=4"
    assert entry(text).multiply_adds is not None
    small = entry(text, TASK._replace(size=(8, 8)))
    assert small.parameters is not None
    assert small.multiply_adds is None


def test_unknown_names_are_answered_with_all_there_are() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'unet'.*fcn32s.*resnet10.*\.json.*monai:"):
        entry("unnet")
    with pytest.raises(UsageError, match="no option 'widht'"):
        entry("unet?widht=3")


@pytest.mark.parametrize(
    ("specification", "device"),
    [("fcn32s", "meta"), ("resnet10", "meta"), ("monai:Critic?channels=4&strides=2", "cpu")],
)
def test_no_weight_of_the_toolkits_networks_is_made(
    specification: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of other libraries are: not all of them can be built without memory."""
    pytest.importorskip("monai")
    devices: set[str] = set()

    def build(*arguments: Any) -> nn.Module:
        network = build_network(*arguments)
        devices.update(weight.device.type for weight in network.parameters())
        return network

    monkeypatch.setattr(inventory, "build_network", build)
    assert entry(specification).parameters
    assert devices == {device}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_has_the_size_of_its_relaxed_network(name: str) -> None:
    """The relaxed network is built for real here, and counted without the inventory."""
    entry = relaxed(name, Task((64, 64), 1, 3, sees_image=False))
    space = SPACES[name]
    channels = 1 if space.role == "segmenter" else 3
    with torch.device("meta"):
        network = new_supernet(space.role, DEFAULT_SEARCHES[name], 1, 3)
    assert entry.parameters == sum(each.numel() for each in network.parameters())
    assert entry.role == space.role
    seeing = relaxed(name, Task((64, 64), 1, 3, sees_image=True))
    assert (seeing.parameters > entry.parameters) == (space.role == "discriminator")
    assert network(torch.zeros(1, channels, 64, 64, device="meta")).shape[0] == 1
