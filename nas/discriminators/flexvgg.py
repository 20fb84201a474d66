"""FlexVGG (Nelson 2022) with published or own numbers."""

from __future__ import annotations

from typing import Literal

import msgspec

from search_spaces.description import Normalisation
from search_spaces.flexvgg import FlexVGGNetwork
from search_spaces.parametric_genotypes import FlexVGGGenotype, Pattern
from search_spaces.presets import FLEXVGG


def flexvgg(
    in_channels: int,
    outputs: int = 1,
    *,
    preset: Literal["optimised", "published"] = "optimised",
    input_depth: int | None = None,
    channels: int | None = None,
    blocks: int | None = None,
    depth: int | None = None,
    pattern: Pattern | None = None,
    max_channels: int | None = None,
    pooled: tuple[int, int] | None = None,
    features: int | None = None,
    linear_depth: int | None = None,
    normalisation: Normalisation = "batch",
) -> FlexVGGNetwork:
    """Float (N, in_channels, H, W) to logits (N, outputs).

    Args:
        in_channels: channels of the input.
        outputs: logits for each image.
        preset: where numbers come from that are not given. Both are the optimised network of
            section 4.3.2: "optimised" averages over all positions before the linear layers,
            "published" pools to 15x22, which changes nothing at 224x332 pixels.
        input_depth, channels, blocks, depth, pattern, max_channels, pooled, features, linear_depth:
            numbers of `FlexVGG`; None for those of the preset.
        normalisation: of every unit and linear layer but the last; "batch" is published.

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
        "pooled": pooled,
        "features": features,
        "linear_depth": linear_depth,
        "normalisation": normalisation,
    }
    given = {name: number for name, number in numbers.items() if number is not None}
    network = msgspec.structs.replace(FLEXVGG[preset], **given)
    return FlexVGGNetwork(FlexVGGGenotype(network), in_channels, outputs)
