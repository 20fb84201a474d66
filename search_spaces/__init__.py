"""What discriminators and segmenters can be built from: genotypes, networks and their pictures.

    genotype = search_spaces.load("genotype.json")
    network = search_spaces.build(genotype)

Importing this package loads nothing else; torch is loaded when a network is built.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.description import Role
    from search_spaces.genotypes import Genotype

__all__ = ["SPACES", "Space", "build", "load"]


class Space(NamedTuple):
    """A search space.

    Attributes:
        role: which network is searched in it.
        network: constructor of the discrete network, as "module:constructor", called with
            ``(genotype, in_channels, outputs)``.
        supernet: constructor of the relaxed network.
        description: one line for a person.
    """

    role: Role
    network: str
    supernet: str
    description: str


SPACES: dict[str, Space] = {
    "cell": Space(
        "discriminator",
        "search_spaces.cell:CellNetwork",
        "search_spaces.cell:CellSupernet",
        "stacked cells of mixed operations (Dong et al. 2019)",
    ),
    "flexvgg": Space(
        "discriminator",
        "search_spaces.flexvgg:FlexVGGNetwork",
        "search_spaces.flexvgg:FlexVGGSupernet",
        "VGG defined by its depths and widths (Nelson 2022)",
    ),
    "concatenation_fcn": Space(
        "segmenter",
        "search_spaces.concatenation_fcn:ConcatenationFCNNetwork",
        "search_spaces.concatenation_fcn:ConcatenationFCNSupernet",
        "FCN with concatenated taps, defined by its depths and widths (Nelson 2022)",
    ),
}
"""The search spaces by the name that stands in genotypes."""


def load(path: str | os.PathLike[str]) -> Genotype:
    """Read a genotype file; raises OSError or `description.GenotypeError`."""
    from search_spaces import genotypes

    return genotypes.read(path)


def build(
    genotype: Genotype | str | os.PathLike[str],
    in_channels: int | None = None,
    outputs: int | None = None,
    **changes: Any,
) -> nn.Module:
    """Network of a genotype or of a genotype file.

    A discriminator maps (N, in_channels, H, W) to logits (N, outputs), a segmenter to logits
    (N, outputs, H, W).

    Args:
        genotype: a genotype, or the path of its file.
        in_channels: channels of the input, >= 1; by default those that the genotype was searched
            with.
        outputs: logits for each image or pixel, >= 1; by default what the genotype says.
        changes: other values for fields of the genotype's network, such as ``channels=32``.

    Raises:
        OSError, GenotypeError: the file cannot be read, the genotype does not say how many
            channels the input has, or there is no such network.
        TypeError: the genotype's network has no such field.
    """
    from search_spaces.description import require

    if isinstance(genotype, str | os.PathLike):
        genotype = load(genotype)
    ends = {"in_channels": in_channels, "outputs": outputs}
    given = {name: value for name, value in ends.items() if value is not None}
    genotype = genotype.with_network(**given, **changes)
    network = genotype.network
    require(
        network.in_channels is not None,
        "this genotype does not say how many channels the input has: give in_channels",
    )
    constructor = find(SPACES[genotype.space].network)
    built: nn.Module = constructor(genotype, network.in_channels, network.outputs)
    return built


def find(name: str) -> Any:
    """What "module:attribute" names; imports its module, and so torch."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
