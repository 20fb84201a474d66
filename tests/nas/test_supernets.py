"""Random discriminators are of the space that a search with the same settings is over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

import search_spaces
from nas.settings import (
    CellSettings,
    FlexVGGSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
)
from nas.supernets import new_supernet, random_discriminator

SPACES: dict[str, SearchSettings] = {
    "cell": SearchSettings(
        cell=CellSettings(channels=4, nodes=2, layout="NR", edges_per_node=1),
        space=SpaceSettings(verdict="pixel", discriminator_input="map+image"),
    ),
    "flexvgg": SearchSettings(
        space=SpaceSettings(space="flexvgg", normalisation="none"),
        flexvgg=FlexVGGSettings(
            flexvgg_channels=(4, 8), flexvgg_blocks=(2, 3), flexvgg_features=(16, 32)
        ),
    ),
}


@pytest.mark.parametrize("space", SPACES)
def test_it_is_built_as_a_searched_one(space: str) -> None:
    settings = SPACES[space]
    genotype = random_discriminator(settings, 1, 3, 0)
    searched: Any = new_supernet("discriminator", settings, 1, 3).genotype()
    assert genotype.space == space
    fixed = ("in_channels", "normalisation", "sees_image", "outputs")
    for name in fixed:
        assert getattr(genotype.network, name) == getattr(searched.network, name)
    if space == "cell":
        assert genotype.network == searched.network
    in_channels = genotype.network.in_channels
    assert in_channels == 3 + (space == "cell")
    network = search_spaces.build(genotype, in_channels)
    assert network(torch.rand(2, in_channels, 32, 32)).shape[:2] == (2, 1)


@pytest.mark.parametrize("space", SPACES)
def test_seed_and_draw_decide(space: str) -> None:
    settings = SPACES[space]
    other = msgspec.structs.replace(settings, run=RunSettings(seed=1))
    first = [random_discriminator(settings, 1, 3, draw) for draw in range(6)]
    again = [random_discriminator(settings, 1, 3, draw) for draw in range(6)]
    others = [random_discriminator(other, 1, 3, draw) for draw in range(6)]
    assert first == again != others
    assert any(each != first[0] for each in first)
