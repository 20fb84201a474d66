"""Specifications of networks: ``name?option=value&option=value``, and what the options may be."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from nas.errors import UsageError

REQUIRED = inspect.Parameter.empty
"""The default of an option that must be given, and the annotation of one that has none."""


class Specification(NamedTuple):
    """A network's name, or a genotype's path, and its options as the user wrote them."""

    name: str
    options: dict[str, str]


class Option(NamedTuple):
    """What an option may be: its annotation and its default."""

    annotation: Any
    default: Any


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


def keyword_options(constructor: Callable[..., Any]) -> dict[str, Option]:
    """The keyword-only parameters of a constructor."""
    parameters = inspect.signature(constructor, eval_str=True).parameters.values()
    return {
        parameter.name: Option(parameter.annotation, parameter.default)
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def check_options(
    spec: Specification, known: Mapping[str, Option], others: bool = False
) -> dict[str, Any]:
    """The values of the options that the user gave, in the types that their annotations name.

    Args:
        spec: with the options.
        known: the options there are.
        others: whether the network takes options that are not known; their values are taken for
            what they look like.

    Raises:
        UsageError: an unknown option, or a value that its annotation does not allow.
    """
    values: dict[str, Any] = {}
    for key, text in spec.options.items():
        if key not in known and not others:
            raise UsageError(
                f"{spec.name} has no option {key!r}{did_you_mean(key, known)}. "
                f"Its options and their defaults: {list_options(known)}."
            )
        annotation = known[key].annotation if key in known else Any
        try:
            values[key] = read_value(text, annotation)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"The option {key}={text} of {spec.name} does not fit: {error}"
                f"{_one_of(annotation)}. "
                f"Its options and their defaults: {list_options(known)}."
            ) from error
    return values


def _one_of(annotation: Any) -> str:
    """What an option may be, where only some values are allowed."""
    allowed = get_args(annotation) if get_origin(annotation) is Literal else ()
    return f", expected one of {', '.join(map(str, allowed))}" if allowed else ""


def read_value(text: str, annotation: Any) -> Any:
    """A value from its text.

    It is what `read_literal` makes of the text if the annotation allows that; otherwise the text
    itself, or a sequence with that one value. An annotation that cannot be checked allows all.

    Raises:
        msgspec.ValidationError: the annotation allows none of these.
    """
    literal = read_literal(text)
    if annotation is REQUIRED:
        return literal
    for candidate in (literal, text, (literal,)):
        try:
            return msgspec.convert(candidate, annotation)
        except msgspec.ValidationError:
            continue
        except TypeError:
            return literal
    return msgspec.convert(text, annotation, strict=False)


def read_literal(text: str) -> Any:
    """What a text looks like.

    A literal of Python (``3``, ``1e-3``, ``(2, 2)``, ``('group', {'num_groups': 8})``), ``true``,
    ``false`` or ``none``; where there is a comma outside brackets, a tuple of such; else the text.
    """
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        parts = split_at_commas(text)
    if len(parts) == 1 and text[:1] + text[-1:] == "()":
        parts = split_at_commas(text[1:-1])
    elif len(parts) == 1:
        return text
    return tuple(read_literal(part) for part in parts if part)


def split_at_commas(text: str) -> list[str]:
    """The parts of a text between the commas that stand in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """The end of a sentence that suggests the most similar candidate, if one is similar."""
    similar = difflib.get_close_matches(word, candidates, n=1)
    return f" (did you mean {similar[0]!r}?)" if similar else ""


def list_options(known: Mapping[str, Option]) -> str:
    """Options and defaults in one line."""
    shown = (
        f"{key} (required)" if option.default is REQUIRED else f"{key}={option.default}"
        for key, option in known.items()
    )
    return ", ".join(shown) or "none"
