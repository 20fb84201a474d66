"""Which cases belong together: the CSV of groups."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from nas.data.cases import natural_order
from nas.errors import DataError


def case_id(name: str, ids: Collection[str]) -> str | None:
    """The id that a written file name means, with or without its extension; None if unknown."""
    name = name.strip()
    if name in ids:
        return name
    stem = Path(name).stem
    return stem if stem in ids else None


def read_groups(path: Path, ids: Collection[str]) -> dict[str, str]:
    """Group of every case from a CSV of two columns, the file and its group.

    The first line is a header unless it names a case. Lines of files that are not among
    ``ids`` are passed over, so that one CSV can serve a part of the data.

    Raises:
        DataError: the file cannot be read, a line has one column only, a case has two
            groups, or a case has none.
    """
    groups: dict[str, str] = {}
    for number, row in enumerate(_rows(path), start=1):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < 2 or not row[1].strip():
            raise DataError(f"Line {number} of {path} has no group: expected file,group.")
        case = case_id(row[0], ids)
        if case is None:
            continue
        group = row[1].strip()
        if groups.setdefault(case, group) != group:
            raise DataError(f"{path} gives {case} two groups, {groups[case]} and {group}.")
    missing = [case for case in ids if case not in groups]
    if missing:
        shown = ", ".join(natural_order(missing)[:3])
        raise DataError(
            f"{path} names no group for {len(missing)} of {len(ids)} cases ({shown}): "
            "add a line file,group for each."
        )
    return groups


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The groups file {path} cannot be read: {error}.") from error
