from __future__ import annotations

from typing import Any

import pytest
import torch

from nas.errors import UsageError
from nas.networks import build_segmenter
from nas.segmenters.concatenation_fcn import concatenation_fcn
from search_spaces.parametric_genotypes import ConcatenationFCN


@pytest.mark.parametrize(
    ("specification", "parameters"),
    [
        ("concatenation_fcn", 519_744),
        ("concatenation_fcn?preset=003", 519_744),
        ("concatenation_fcn?preset=005", 9_591_152),
        ("concatenation_fcn?preset=early", 2_399_992),
    ],
)
def test_presets_have_the_published_numbers_of_parameters(
    specification: str, parameters: int
) -> None:
    with torch.device("meta"):
        network = build_segmenter(specification, 3, 2)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_numbers_that_are_given_replace_those_of_the_preset() -> None:
    numbers: dict[str, Any] = {
        "input_depth": 2,
        "channels": 8,
        "blocks": 4,
        "depth": 3,
        "pattern": "single_run",
        "max_channels": 16,
        "taps": 2,
        "combination": "sum",
        "normalisation": "group",
    }
    assert concatenation_fcn(1, 3, preset="005", **numbers).network == ConcatenationFCN(**numbers)
    assert concatenation_fcn(1, 3, preset="005", taps=1).network == ConcatenationFCN(
        channels=16, depth=2, taps=1
    )


def test_options_stand_in_the_specification() -> None:
    network = build_segmenter("concatenation_fcn?preset=005&channels=2&taps=4", 1, 3)
    assert network(torch.rand(1, 1, 32, 33)).shape == (1, 3, 32, 33)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("preset=004", "004"),
        ("taps=6", "taps is 6"),
        ("pattern=triple_run", "triple_run"),
        ("normalisation=group&channels=12", "multiples of 8"),
    ],
)
def test_what_cannot_be_is_a_usage_error(options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_segmenter(f"concatenation_fcn?{options}", 3, 2)
