"""What discriminators can be built from: operations, cells, genotypes and their pictures.

    genotype = search_spaces.load("genotype.json")
    discriminator = search_spaces.build(genotype, in_channels=4)

Importing this package loads nothing else; torch is loaded when a network is built.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.genotypes import Ends, Genotype, Normalisation

__all__ = ["build", "load"]


def load(path: str | os.PathLike[str]) -> Genotype:
    """Read a genotype file; raises OSError or `genotypes.GenotypeError`."""
    from search_spaces import genotypes

    return genotypes.read(path)


def build(
    genotype: Genotype | str | os.PathLike[str],
    in_channels: int,
    outputs: int = 1,
    *,
    channels: int | None = None,
    layout: str | None = None,
    normalisation: Normalisation | None = None,
    stem_multiplier: int | None = None,
    ends: Ends | None = None,
    affine: bool = True,
    pool_norm: bool = False,
) -> nn.Module:
    """Network of a genotype or of a genotype file, from (N, in_channels, H, W) to (N, outputs).

    Args:
        genotype: a genotype, or the path of its file.
        in_channels: channels of the images, >= 1.
        outputs: logits for each image, >= 1.
        channels, layout, normalisation, stem_multiplier, ends: stack the cells otherwise than the
            genotype says, see `genotypes.Network`.
        affine, pool_norm: see `operations.Style`.

    Raises:
        OSError, GenotypeError: the file cannot be read, or there is no such network.
    """
    from search_spaces.cell import CellNetwork

    if isinstance(genotype, str | os.PathLike):
        genotype = load(genotype)
    changes = {
        "channels": channels,
        "layout": layout,
        "normalisation": normalisation,
        "stem_multiplier": stem_multiplier,
        "ends": ends,
    }
    genotype = genotype.with_network(
        **{name: value for name, value in changes.items() if value is not None}
    )
    return CellNetwork(genotype, in_channels, outputs, affine=affine, pool_norm=pool_norm)
