"""Networks by name: from what the user writes to a module.

A specification is a name from a table, optionally with options: ``unet`` or
``unet?width=16&normalisation=batch``. A discriminator may also be the file of a genotype:
``cells.json?channels=32``. The options are the keyword-only parameters of the network's
constructor (for a genotype, the fields of its network), checked against their annotations.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from nas.discriminators import DISCRIMINATORS
from nas.errors import RunError, UsageError
from nas.segmenters import SEGMENTERS
from search_spaces import description, genotypes
from search_spaces.genotypes import Genotype

if TYPE_CHECKING:
    from torch import nn

GENOTYPE_SUFFIX = ".json"


class Specification(NamedTuple):
    """A network's name, or a genotype's path, and its options as the user wrote them."""

    name: str
    options: dict[str, str]


class Option(NamedTuple):
    """What an option may be: its annotation and its default."""

    annotation: Any
    default: Any


def build_segmenter(specification: str, in_channels: int, classes: int) -> nn.Module:
    """A segmenter: float (N, in_channels, H, W) to logits (N, classes, H, W).

    Its weights are drawn from torch's global generator.

    Raises:
        UsageError: no such segmenter or option, or a value that it does not take.
    """
    spec = parse_specification(specification)
    constructor = find_constructor(spec.name, SEGMENTERS, "segmenter")
    options = check_options(spec, keyword_options(constructor))
    return construct(spec, constructor, in_channels, classes, **options)


def build_discriminator(specification: str, in_channels: int) -> nn.Module:
    """A discriminator: float (N, in_channels, H, W) to logits (N, 1) or (N, 1, h, w).

    Its weights are drawn from torch's global generator.

    Raises:
        UsageError: no such discriminator or option, or a value that it does not take.
        RunError: the genotype's file cannot be read or is no genotype.
    """
    spec = parse_specification(specification)
    if is_genotype(spec.name):
        return build_from_genotype(spec, in_channels)
    hint = f", or the file of a genotype (NAME{GENOTYPE_SUFFIX})"
    constructor = find_constructor(spec.name, DISCRIMINATORS, "discriminator", hint)
    options = check_options(spec, keyword_options(constructor))
    return construct(spec, constructor, in_channels, **options)


def parse_specification(text: str) -> Specification:
    """Take ``name?key=value&key=value`` apart.

    Raises:
        UsageError: an option without "=", without a key, or given twice.
    """
    name, _, query = text.partition("?")
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not (key and equals):
            raise UsageError(
                f"Cannot read {part!r} in {text!r}: options are written NAME?KEY=VALUE&KEY=VALUE."
            )
        if key in options:
            raise UsageError(f"The option {key!r} stands twice in {text!r}: keep one.")
        options[key] = value
    return Specification(name, options)


def is_genotype(name: str) -> bool:
    """Whether a discriminator's name is the path of a genotype's file."""
    return name.endswith(GENOTYPE_SUFFIX)


def build_from_genotype(spec: Specification, in_channels: int) -> nn.Module:
    """The discriminator that a genotype's file describes.

    Options replace fields of its ``network``, all but ``sees_image``, which ``in_channels`` has
    settled.

    Raises:
        UsageError: no such option, or a value that it does not take.
        RunError: the file cannot be read or is no genotype.
    """
    import search_spaces

    genotype = read_genotype(spec.name)
    known = {
        field.name: Option(field.type, getattr(genotype.network, field.name))
        for field in msgspec.structs.fields(type(genotype.network))
        if field.name != "sees_image"
    }
    options = check_options(spec, known)
    return construct(spec, search_spaces.build, genotype, in_channels, **options)


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
    """The genotype that a discriminator's specification names; None where it names none.

    Raises:
        RunError: the file cannot be read or is no genotype.
    """
    name = parse_specification(specification).name
    return read_genotype(name) if is_genotype(name) else None


def find_constructor(
    name: str, table: Mapping[str, tuple[str, str]], kind: str, hint: str = ""
) -> Callable[..., nn.Module]:
    """The constructor behind a name of a table; imports its module, and so torch.

    Raises:
        UsageError: the table has no such name; the message lists those it has.
    """
    if name not in table:
        raise UsageError(
            f"There is no {kind} {name!r}{did_you_mean(name, table)}. "
            f"Choose from {', '.join(table)}{hint}."
        )
    module, _, attribute = table[name][0].partition(":")
    constructor: Callable[..., nn.Module] = getattr(importlib.import_module(module), attribute)
    return constructor


def keyword_options(constructor: Callable[..., Any]) -> dict[str, Option]:
    """The keyword-only parameters of a constructor."""
    parameters = inspect.signature(constructor, eval_str=True).parameters.values()
    return {
        parameter.name: Option(parameter.annotation, parameter.default)
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def check_options(spec: Specification, known: Mapping[str, Option]) -> dict[str, Any]:
    """The values of the options that the user gave, in the types that their annotations name.

    Raises:
        UsageError: an unknown option, or a value that its annotation does not allow.
    """
    values: dict[str, Any] = {}
    for key, text in spec.options.items():
        if key not in known:
            raise UsageError(
                f"{spec.name} has no option {key!r}{did_you_mean(key, known)}. "
                f"Its options and their defaults: {list_options(known)}."
            )
        try:
            values[key] = msgspec.convert(text, known[key].annotation, strict=False)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"The option {key}={text} of {spec.name} does not fit: {error}. "
                f"Its options and their defaults: {list_options(known)}."
            ) from error
    return values


def construct(
    spec: Specification, constructor: Callable[..., nn.Module], *arguments: Any, **options: Any
) -> nn.Module:
    """Call the constructor; a value that it refuses becomes the user's error."""
    try:
        return constructor(*arguments, **options)
    except ValueError as error:
        raise UsageError(f"{spec.name} cannot be built: {error}.") from error


def did_you_mean(word: str, candidates: Mapping[str, Any]) -> str:
    """The end of a sentence that suggests the most similar candidate, if one is similar."""
    similar = difflib.get_close_matches(word, candidates, n=1)
    return f" (did you mean {similar[0]!r}?)" if similar else ""


def list_options(known: Mapping[str, Option]) -> str:
    """Options and defaults in one line."""
    return ", ".join(f"{key}={option.default}" for key, option in known.items()) or "none"
