"""Networks by name: from what the user writes to a module.

A specification is a name from a table, optionally with options: ``unet`` or
``unet?width=16&normalisation=batch``. It may also be the file of a genotype
(``cells.json?channels=32``) or a network of another library (``smp:Unet``, see `nas.libraries`).
The options are the keyword-only parameters of the network's constructor (for a genotype, the fields
of its network), checked against their annotations.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nas import libraries
from nas.discriminators import DISCRIMINATORS
from nas.errors import RunError, UsageError
from nas.segmenters import SEGMENTERS
from nas.specifications import (
    Option,
    Specification,
    check_options,
    did_you_mean,
    keyword_options,
    parse_specification,
)
from search_spaces import description, genotypes
from search_spaces.description import Role
from search_spaces.genotypes import Genotype

if TYPE_CHECKING:
    from torch import nn

GENOTYPE_SUFFIX = ".json"
TABLES: dict[Role, Mapping[str, tuple[str, str]]] = {
    "segmenter": SEGMENTERS,
    "discriminator": DISCRIMINATORS,
}
PATCH_NETWORKS = {
    "patches:dc_net": (
        "nas.segmenters.sliding:sliding_dc_net",
        "DC-net on the patch around each pixel (Lahiri et al. 2017)",
    ),
}
"""Segmenters that a retraining trains on patches, by name; see `nas.segmenters`."""

OPTION_OF = {"segmenter": "--backbone", "discriminator": "--genotype or --discriminator"}
"""How a network of a role is named on the command line."""


def build_segmenter(specification: str, in_channels: int, classes: int) -> nn.Module:
    """A segmenter: float (N, in_channels, H, W) to logits (N, classes, H, W).

    Its weights are drawn from torch's global generator.

    Raises:
        UsageError: no such segmenter or option, a value that it does not take, a genotype of a
            discriminator, or a network of another library that cannot be used.
        RunError: the genotype's file cannot be read or is no genotype.
    """
    return build_network(specification, "segmenter", in_channels, classes)


def build_discriminator(specification: str, in_channels: int) -> nn.Module:
    """A discriminator: float (N, in_channels, H, W) to logits (N, 1) or (N, 1, h, w).

    Its weights are drawn from torch's global generator.

    Raises:
        UsageError, RunError: as `build_segmenter`.
    """
    return build_network(specification, "discriminator", in_channels, 1)


def build_network(specification: str, role: Role, in_channels: int, outputs: int) -> nn.Module:
    """The network of a role; ``outputs`` are the classes of a segmenter, 1 for a discriminator."""
    spec = parse_specification(specification)
    if is_genotype(spec.name):
        return build_from_genotype(spec, role, in_channels, outputs)
    if libraries.is_foreign(spec.name):
        return build_foreign(spec, role, in_channels, outputs)
    constructor = find_constructor(spec.name, role)
    options = check_options(spec, keyword_options(constructor))
    ends = (in_channels, outputs) if role == "segmenter" else (in_channels,)
    return construct(spec, constructor, *ends, **options)


def is_genotype(name: str) -> bool:
    """Whether a network's name is the path of a genotype's file."""
    return name.endswith(GENOTYPE_SUFFIX)


def build_from_genotype(
    spec: Specification, role: Role, in_channels: int, outputs: int
) -> nn.Module:
    """The network that a genotype's file describes.

    Options replace fields of its ``network``, all but those that are settled: its ends, and
    whether a discriminator sees the image.

    Raises:
        UsageError: no such option, a value that it does not take, or a network of the other role.
        RunError: the file cannot be read or is no genotype.
    """
    import search_spaces

    genotype = read_genotype(spec.name)
    if genotype.role != role:
        raise UsageError(
            f"{spec.name} describes a {genotype.role} (space {genotype.space}), where a {role} was "
            f"expected: give it by {OPTION_OF[genotype.role]}."
        )
    known = {
        field.name: Option(field.type, getattr(genotype.network, field.name))
        for field in msgspec.structs.fields(type(genotype.network))
        if field.name not in ("in_channels", "outputs", "sees_image")
    }
    options = check_options(spec, known)
    return construct(spec, search_spaces.build, genotype, in_channels, outputs, **options)


def build_foreign(spec: Specification, role: Role, in_channels: int, outputs: int) -> nn.Module:
    """A network of another library, adapted to the toolkit.

    Raises:
        UsageError: it is not there, cannot be built, or does not do what was expected.
    """
    network = libraries.construct_foreign(spec, role, in_channels, outputs)

    from nas.adapters import Answer, adapt

    return adapt(network, Answer(spec.name, role, in_channels, outputs))


def read_genotype(path: str | Path) -> Genotype:
    """The genotype in a file.

    Raises:
        RunError: the file cannot be read or is no genotype.
    """
    try:
        return genotypes.read(path)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"Cannot read the genotype {path}: {reason}.") from error
    except description.GenotypeError as error:
        raise RunError(f"{error}. A file written by nas-derive was expected.") from error


def find_genotype(specification: str) -> Genotype | None:
    """The genotype that a specification names; None where it names none.

    Raises:
        RunError: the file cannot be read or is no genotype.
    """
    name = parse_specification(specification).name
    return read_genotype(name) if is_genotype(name) else None


def find_constructor(name: str, role: Role) -> Callable[..., nn.Module]:
    """The constructor behind a name of a role's table; imports its module, and so torch.

    Raises:
        UsageError: the table has no such name; the message lists those it has.
    """
    if name.startswith("search:"):
        raise UsageError(
            f"{name} is a space for nas-search --backbone. What a search has found is trained by "
            f"its genotype's file (NAME{GENOTYPE_SUFFIX}), which nas-derive writes."
        )
    table = TABLES[role]
    if role == "segmenter":
        table = {**table, **PATCH_NETWORKS}
    if name not in table:
        prefixes = ", ".join(f"{prefix}:" for prefix in libraries.PREFIXES)
        raise UsageError(
            f"There is no {role} {name!r}{did_you_mean(name, table)}. Choose from "
            f"{', '.join(table)}, the file of a genotype (NAME{GENOTYPE_SUFFIX}), or a network of "
            f"another library ({prefixes})."
        )
    module, _, attribute = table[name][0].partition(":")
    constructor: Callable[..., nn.Module] = getattr(importlib.import_module(module), attribute)
    return constructor


def construct(
    spec: Specification, constructor: Callable[..., nn.Module], *arguments: Any, **options: Any
) -> nn.Module:
    """Call the constructor; a value that it refuses becomes the user's error."""
    try:
        return constructor(*arguments, **options)
    except ValueError as error:
        raise UsageError(f"{spec.name} cannot be built: {error}.") from error
