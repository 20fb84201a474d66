"""Genotypes: what a search finds, as a small JSON file to read, diff, draw and share.

Each search space has its own description; a file names its space, so that one function reads all.
Nothing here needs torch, so that genotypes can be read, compared and drawn at once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from search_spaces.cell_genotype import CellGenotype, Relaxation
from search_spaces.description import GenotypeError, require
from search_spaces.parametric_genotypes import ConcatenationFCNGenotype, FlexVGGGenotype

Genotype: TypeAlias = CellGenotype | FlexVGGGenotype | ConcatenationFCNGenotype
"""Any genotype; files tell them apart by ``space``."""

FORMAT = "discriminator-nas/genotype"
VERSION = 2
"""Of files with parameters of edges; all others are as in version 1, and say so."""


def same_architecture(first: Genotype, second: Genotype) -> bool:
    """Whether both describe the same network, whatever the order, probabilities and origin."""
    return first.canonical() == second.canonical()


def read(path: str | os.PathLike[str]) -> Genotype:
    """Read a genotype file.

    Raises:
        OSError: the file cannot be read.
        GenotypeError: it is not a genotype; the message names the file and the place in it.
    """
    try:
        return _decode(Path(path).read_bytes())
    except (GenotypeError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise GenotypeError(f"{path}: {error}") from error


def write(genotype: Genotype, path: str | os.PathLike[str]) -> None:
    """Write a genotype file; whoever reads meanwhile sees the old file or the new one, whole."""
    content = {"format": FORMAT, "version": _version(genotype), **msgspec.to_builtins(genotype)}
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_text(_pretty(content) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _decode(content: bytes) -> Genotype:
    fields = msgspec.json.decode(content)
    require(
        isinstance(fields, dict) and fields.pop("format", None) == FORMAT,
        f'this is not a genotype: "format": "{FORMAT}" was expected',
    )
    version = fields.pop("version", None)
    require(
        version in range(1, VERSION + 1),
        f"the genotype has version {version!r}: at most {VERSION} was expected; update this "
        "program",
    )
    genotype: Genotype = msgspec.convert(fields, Genotype)
    require(
        version >= _version(genotype),
        f"the genotype has version {version}, in which edges had no parameters",
    )
    return genotype


def _version(genotype: Genotype) -> int:
    """The first version that can hold a genotype: programs that know no later one read it."""
    relaxation = genotype.relaxation
    return VERSION if isinstance(relaxation, Relaxation) and relaxation.has_edges else 1


def _pretty(value: Any, indent: str = "", width: int = 100) -> str:
    """JSON with one thing on a line: what is short, and a list of plain values however long."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(indent + flat) <= width or _is_plain(value):
        return flat
    inner = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_pretty(item, inner)}" for key, item in value.items()]
    else:
        items = [_pretty(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(inner + item for item in items)
    return f"{opening}\n{body}\n{indent}{closing}"


def _is_plain(value: Any) -> bool:
    """Whether this is a scalar or a list of scalars."""
    if isinstance(value, list | tuple):
        return not any(isinstance(item, dict | list | tuple) for item in value)
    return not isinstance(value, dict)
