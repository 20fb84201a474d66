from __future__ import annotations

from typing import Any

import pytest
import torch

from nas.discriminators.flexvgg import flexvgg
from nas.errors import UsageError
from nas.networks import build_discriminator
from search_spaces.parametric_genotypes import FlexVGG


@pytest.mark.parametrize(
    ("specification", "parameters"),
    [
        ("flexvgg", 52_671_105 - (15 * 22 - 1) * 1024 * 128),
        ("flexvgg?preset=optimised", 52_671_105 - (15 * 22 - 1) * 1024 * 128),
        ("flexvgg?preset=published", 52_671_105),
    ],
)
def test_presets_have_the_published_numbers_of_parameters(
    specification: str, parameters: int
) -> None:
    with torch.device("meta"):
        network = build_discriminator(specification, 4)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_numbers_that_are_given_replace_those_of_the_preset() -> None:
    numbers: dict[str, Any] = {
        "input_depth": 2,
        "channels": 8,
        "blocks": 3,
        "depth": 1,
        "pattern": "single_run",
        "max_channels": 16,
        "pooled": (2, 3),
        "features": 32,
        "linear_depth": 2,
        "normalisation": "group",
    }
    assert flexvgg(1, preset="published", **numbers).network == FlexVGG(**numbers)
    assert flexvgg(1, preset="published", channels=1).network == FlexVGG(
        channels=1, pooled=(15, 22)
    )


def test_options_stand_in_the_specification() -> None:
    network = build_discriminator("flexvgg?channels=2&linear_depth=0&normalisation=none", 3)
    assert network(torch.rand(1, 3, 32, 33)).shape == (1, 1)
    assert flexvgg(3, 4, channels=2)(torch.rand(2, 3, 32, 33)).shape == (2, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("preset=small", "small"),
        ("features=6&linear_depth=2", "divisible by 2"),
        ("normalisation=group&channels=12", "multiples of 8"),
    ],
)
def test_what_cannot_be_is_a_usage_error(options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_discriminator(f"flexvgg?{options}", 3)
