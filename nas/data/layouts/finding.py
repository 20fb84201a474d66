"""Finding the folders and files of a layout below the data root."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from nas.data.cases import natural_key
from nas.errors import DataError

DEPTH = 3
"""Folders below the data root that are looked into, counted downwards."""


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder in natural order, without hidden ones and what macOS adds."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if not path.name.startswith(".") and path.name != "__MACOSX" and path.is_dir()
        ),
        key=lambda path: natural_key(path.name),
    )


def _levels(root: Path) -> Iterator[list[Path]]:
    level = [root]
    for _ in range(DEPTH + 1):
        yield level
        level = [folder for parent in level for folder in subfolders(parent)]


def find_folder(root: Path, is_it: Callable[[Path], bool], what: str) -> Path | None:
    """The folder of a layout: the root itself, or the nearest one below it.

    Args:
        root: the data root.
        is_it: whether a folder is the one.
        what: name of what it holds, for the error.

    Returns:
        None where there is no such folder.

    Raises:
        DataError: there are several, equally near.
    """
    for level in _levels(root):
        found = list({folder.resolve(): folder for folder in level if is_it(folder)}.values())
        if len(found) > 1:
            raise DataError(
                f"{root} holds {what} more than once, in {found[0]} and in {found[1]}: name one of "
                "them with --data-root."
            )
        if found:
            return found[0]
    return None


def holds(folder: Path, pattern: re.Pattern[str]) -> bool:
    """Whether a name in the folder fits the pattern as a whole."""
    return any(pattern.fullmatch(path.name) for path in folder.iterdir())


def files_by_id(folder: Path, pattern: re.Pattern[str], problems: list[str]) -> dict[str, Path]:
    """The files of a folder whose names fit a pattern, by the id in them, in natural order.

    Args:
        folder: to look into; one that does not exist holds nothing.
        pattern: of a whole name; its first group is the id.
        problems: two files of one id are added here.
    """
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        match = pattern.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        if match[1] in found:
            problems.append(
                f"{folder} holds {found[match[1]].name} and {path.name}, two files for one case: "
                "keep one of them."
            )
        else:
            found[match[1]] = path
    return found
