"""The settings that a sweep varies, and how a point of their space becomes a recipe.

A dimension is named by its setting, `training.segmenter_lr`; by an option of a network,
`backbone?blocks`; or by a ratio, `training.discriminator_lr / training.segmenter_lr`, which sets
the first to so many times the second.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from nas.errors import UsageError
from nas.runs import to_settings

Value: TypeAlias = str | int | float | bool
Point: TypeAlias = Mapping[str, Value]
"""A value for each dimension, by its key."""

LONGEST_NAME = 80


class Choices(Struct, frozen=True):
    """Some values, none of which is nearer to one than to another."""

    values: tuple[Value, ...]


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """All numbers between two.

    Attributes:
        low, high: both included; whole numbers where both are.
        log: whether equal ratios are as likely as each other, instead of equal differences.
        step: distance of the numbers that are tried; None for all.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None


Dimension: TypeAlias = Choices | Range


def read_dimensions(tables: Mapping[str, Any], path: Path) -> dict[str, Dimension]:
    """Those of a recipe: lists of its [grid], lists or ranges of its [ranges].

    Raises:
        UsageError: there is none, or one is neither a list of values nor a range.
    """
    found = {**_table(tables, "grid", path), **_table(tables, "ranges", path)}
    if not found:
        raise UsageError(
            f"{path} varies nothing: name settings in a table [grid] or [ranges], such as "
            '"training.segmenter_lr" = [1e-4, 1e-3].'
        )
    return {key: _dimension(key, value, path) for key, value in found.items()}


def points(dimensions: Mapping[str, Dimension]) -> Iterator[dict[str, Value]]:
    """All combinations of choices, the last dimension changing fastest.

    Raises:
        UsageError: a dimension is a range.
    """
    values = []
    for key, dimension in dimensions.items():
        if isinstance(dimension, Range):
            raise UsageError(
                f"{key} is a range, and a grid has values: list them, or take --method random or "
                "tpe."
            )
        values.append(dimension.values)
    for point in itertools.product(*values):
        yield dict(zip(dimensions, point, strict=True))


def grid_size(dimensions: Mapping[str, Dimension]) -> int:
    """How many combinations of choices there are.

    Raises:
        UsageError: a dimension is a range.
    """
    return sum(1 for _ in points(dimensions))


def lowest(dimension: Dimension) -> Value:
    """The first choice, or the low end of a range."""
    return dimension.low if isinstance(dimension, Range) else dimension.values[0]


def is_plain(key: str) -> bool:
    """Whether a dimension is a setting as it stands, neither a ratio nor an option of a network."""
    return "/" not in key and "?" not in key


def target_of(key: str) -> str:
    """What a dimension sets: a setting, of a ratio the first, or an option of a network."""
    return key.partition("/")[0].strip()


def at_point(base: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """The tables of settings with those of a point.

    Plain values are set first, ratios and options of networks on top of them.

    Raises:
        UsageError: a ratio or an option builds on a setting that is not there.
    """
    settings = {name: dict(t) if isinstance(t, dict) else t for name, t in base.items()}
    for key, value in sorted(point.items(), key=lambda item: not is_plain(item[0])):
        if "/" in key:
            unit = key.partition("/")[2].strip()
            _set(settings, target_of(key), _get(settings, unit, key) * value)
        elif "?" in key:
            where, _, option = key.partition("?")
            _set(settings, where, with_option(_get(settings, where, key), option, value))
        else:
            _set(settings, key, value)
    return settings


def with_option(specification: str, option: str, value: Value) -> str:
    """A network's specification with one option set."""
    network, _, options = specification.partition("?")
    pairs = dict(pair.split("=", 1) for pair in options.split("&") if pair)
    given = (pairs | {option: value}).items()
    return f"{network}?" + "&".join(f"{name}={text}" for name, text in given)


def point_name(point: Point) -> str:
    """A name for a folder, such as blocks-3_depth-1; others are cut and end in a digest."""
    if not point:
        return "base"
    named = "_".join(f"{_short(key)}-{_text(value)}" for key, value in point.items())
    exact = all(_text(value) == str(value) for value in point.values())
    plain = re.sub(r"[^\w.+-]+", "-", named)
    if exact and len(named) <= LONGEST_NAME and plain == named:
        return named
    digest = hashlib.sha256(json.dumps(dict(point), sort_keys=True).encode()).hexdigest()[:8]
    return f"{plain[:LONGEST_NAME]}-{digest}"


def _dimension(key: str, value: Any, path: Path) -> Dimension:
    if isinstance(value, dict):
        found = to_settings(value, Range, Path(f"{path}: {key}"))
        if not found.low < found.high or (found.log and found.low <= 0):
            raise UsageError(
                f"{path}: {key} must have low < high, and low > 0 if log; found {found.low} and "
                f"{found.high}."
            )
        if found.log and found.step is not None:
            raise UsageError(f"{path}: {key} has log and a step: leave one of them out.")
        return found
    if isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value):
        return Choices(tuple(value))
    raise UsageError(
        f"{path}: {key} must be a list of values, or a range {{low, high, log, step}}; found "
        f"{value!r}."
    )


def _table(tables: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {name} must be a table, [{name}].")
    return table


def _set(settings: dict[str, Any], key: str, value: Any) -> None:
    *outer, name = key.split(".")
    table: dict[str, Any] = settings.setdefault(outer[0], {}) if outer else settings
    table[name] = value


def _get(settings: Mapping[str, Any], key: str, asked_by: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise UsageError(f"{asked_by} builds on {key}, which the recipe does not set: set it.")
        value = value[name]
    return value


def _short(key: str) -> str:
    first = key.partition("/")[0].strip()
    suffix = "-ratio" if "/" in key else ""
    return first.replace("?", ".").rpartition(".")[2] + suffix


def _text(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
