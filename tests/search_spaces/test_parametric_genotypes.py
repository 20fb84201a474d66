from __future__ import annotations

from typing import Any

import pytest

from search_spaces.description import GenotypeError
from search_spaces.parametric_genotypes import (
    Choice,
    Choices,
    ConcatenationFCN,
    FlexVGG,
    block_channels,
    check_candidates,
    combinations,
    input_channels,
    linear_features,
    tap_channels,
)


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (ConcatenationFCN(channels=64, depth=1), [[64]] * 5),
        (
            ConcatenationFCN(channels=16, depth=2),
            [[16, 32], [32, 64], [64, 128], [128, 256], [256, 512]],
        ),
        (ConcatenationFCN(channels=8, depth=4, blocks=3), [[8, 16, 16, 32], [32, 64, 64, 128]]),
        (FlexVGG(), [[64, 128], [128, 256], [256, 512], [512, 1024]]),
        (FlexVGG(depth=1, pattern="single_run"), [[128], [256], [512], [1024]]),
        (FlexVGG(pattern="single_run", blocks=2), [[128, 256], [512, 1024]]),
        (FlexVGG(max_channels=200), [[64, 128], [128, 200], [200, 200], [200, 200]]),
        (FlexVGG(max_channels=48, blocks=1), [[48, 48]]),
    ],
)
def test_channels_grow_as_published(network: Any, channels: list[list[int]]) -> None:
    assert [list(units) for units in block_channels(network)][: len(channels)] == channels
    assert len(block_channels(network)) == network.blocks


def test_the_input_block_keeps_its_channels() -> None:
    assert input_channels(FlexVGG(input_depth=3, channels=32)) == (32, 32, 32)
    assert input_channels(FlexVGG(channels=64, max_channels=48)) == (48,)


def test_every_further_linear_layer_halves() -> None:
    assert linear_features(FlexVGG(features=128, linear_depth=0)) == (128,)
    assert linear_features(FlexVGG(features=1024, linear_depth=4)) == (1024, 512, 256, 128, 64)


def test_taps_are_counted_from_the_last_block_backwards() -> None:
    network = ConcatenationFCN(channels=16, depth=2)
    assert tap_channels(network) == (512, 256, 128)
    assert sum(tap_channels(network)) == 896  # published


def test_combinations_are_in_the_order_of_a_product() -> None:
    networks = combinations(FlexVGG(), {"depth": (2, 1), "blocks": (3, 1, 2)})
    assert [(n.depth, n.blocks) for n in networks] == [(d, b) for d in (2, 1) for b in (3, 1, 2)]
    assert combinations(FlexVGG(channels=3), {}) == (FlexVGG(channels=3),)


@pytest.mark.parametrize(
    ("network", "candidates", "message"),
    [
        (FlexVGG(), {"taps": (3,)}, "taps cannot be searched"),
        (FlexVGG(), {"normalisation": ("batch",)}, "normalisation cannot be searched"),
        (ConcatenationFCN(), {"linear_depth": (1,)}, "linear_depth cannot be searched"),
        (FlexVGG(), {"depth": ()}, "no candidate"),
        (FlexVGG(), {"depth": (1, 1)}, "twice"),
        (FlexVGG(), {"depth": ("two",)}, "int"),
        (FlexVGG(), {"pattern": ("triple_run",)}, "triple_run"),
        (FlexVGG(), {"features": (128, 6), "linear_depth": (1, 2)}, "divisible by 2"),
        (ConcatenationFCN(), {"blocks": (3, 4), "taps": (3, 4)}, "taps is 4: 1 to 3"),
        (ConcatenationFCN(normalisation="group"), {"channels": (8, 12)}, "multiples of 8"),
        (FlexVGG(), {"depth": range(1, 200), "channels": range(1, 200)}, "39601 networks"),
    ],
)
def test_candidates_that_cannot_be_are_refused(
    network: Any, candidates: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenotypeError, match=message):
        check_candidates(network, candidates)


@pytest.mark.parametrize(
    ("changes", "odd"),
    [
        ({"channels": 4, "depth": 1}, "4"),
        ({"max_channels": 100}, "100"),
        ({"features": 16, "linear_depth": 2}, "4"),
    ],
)
def test_group_norm_needs_multiples_of_eight(changes: dict[str, Any], odd: str) -> None:
    FlexVGG(**changes)
    with pytest.raises(GenotypeError, match=f"have {odd} channels"):
        FlexVGG(**changes, normalisation="group")


def test_group_norm_asks_nothing_of_a_limit_that_is_not_reached() -> None:
    assert FlexVGG(channels=8, max_channels=1001, normalisation="group").max_channels == 1001


def test_decoding_takes_the_largest_and_of_equals_the_first() -> None:
    choices = Choices({"blocks": Choice((4, 2, 3), (0.1, 0.5, 0.5)), "depth": Choice((3,), (-9,))})
    assert choices.decode(FlexVGG(channels=7)) == FlexVGG(channels=7, blocks=2, depth=3)
