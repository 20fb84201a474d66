from __future__ import annotations

from search_spaces.parametric_genotypes import tap_channels
from search_spaces.presets import CONCATENATION_FCN, FLEXVGG


def test_channels_of_the_concatenated_taps_are_as_published() -> None:
    slots = {name: sum(tap_channels(network)) for name, network in CONCATENATION_FCN.items()}
    assert slots == {"003": 192, "005": 896, "early": 448}


def test_the_optimised_network_has_the_published_numbers() -> None:
    for network in FLEXVGG.values():
        numbers = (network.input_depth, network.blocks, network.depth, network.channels)
        assert numbers == (1, 4, 2, 64)
        assert (network.pattern, network.linear_depth, network.features) == ("double_run", 1, 128)
    assert [network.pooled for network in FLEXVGG.values()] == [(1, 1), (15, 22)]
