"""Whether the files of one case have one size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nas.data.images import Header, read_header
from nas.errors import DataError


def header_of(image: Path, others: Mapping[Path, str], problems: list[str]) -> Header | None:
    """The header of an image where all files of its case can be read and have its size.

    Args:
        image: of the case.
        others: what the other files of the case are, such as "mask".
        problems: what is wrong is added here.

    Returns:
        None where something is wrong.
    """
    before = len(problems)
    first = _read(image, problems)
    for path, what in others.items():
        second = _read(path, problems)
        if first is None or second is None:
            continue
        if (first.height, first.width) != (second.height, second.width):
            problems.append(
                f"{image} is {first.height}x{first.width} and its {what} {path} is "
                f"{second.height}x{second.width} (height x width): both need one size."
            )
    return first if len(problems) == before else None


def _read(path: Path, problems: list[str]) -> Header | None:
    try:
        return read_header(path)
    except DataError as error:
        problems.append(str(error))
        return None
