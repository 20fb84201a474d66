"""ConcatenationFCN (Nelson 2022) with published or own numbers."""

from __future__ import annotations

from typing import Literal

import msgspec

from search_spaces.concatenation_fcn import ConcatenationFCNNetwork
from search_spaces.description import Normalisation
from search_spaces.parametric_genotypes import (
    Combination,
    ConcatenationFCNGenotype,
    Pattern,
)
from search_spaces.presets import CONCATENATION_FCN


def concatenation_fcn(
    in_channels: int,
    classes: int,
    *,
    preset: Literal["003", "005", "early"] = "003",
    input_depth: int | None = None,
    channels: int | None = None,
    blocks: int | None = None,
    depth: int | None = None,
    pattern: Pattern | None = None,
    max_channels: int | None = None,
    taps: int | None = None,
    combination: Combination | None = None,
    normalisation: Normalisation = "batch",
) -> ConcatenationFCNNetwork:
    """Float (N, in_channels, H, W) to logits (N, classes, H, W).

    Args:
        in_channels: channels of the images.
        classes: number K of classes, background included.
        preset: the published network that has the numbers that are not given: 003 or 005 of
            section 4.2.3, or the generator of the earlier adversarial experiments.
        input_depth, channels, blocks, depth, pattern, max_channels, taps, combination:
            numbers of `ConcatenationFCN`; None for those of the preset.
        normalisation: of every unit and tap; "batch" is published.

    Raises:
        GenotypeError: there is no network of these numbers.
    """
    numbers = {
        "input_depth": input_depth,
        "channels": channels,
        "blocks": blocks,
        "depth": depth,
        "pattern": pattern,
        "max_channels": max_channels,
        "taps": taps,
        "combination": combination,
        "normalisation": normalisation,
    }
    given = {name: number for name, number in numbers.items() if number is not None}
    network = msgspec.structs.replace(CONCATENATION_FCN[preset], **given)
    return ConcatenationFCNNetwork(ConcatenationFCNGenotype(network), in_channels, classes)
