"""Which cases belong together: the CSV of groups."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from nas.data.cases import Case, natural_key, natural_order
from nas.errors import DataError


def case_id(name: str, ids: Collection[str]) -> str | None:
    """The id that a written file name means, with or without its extension; None if unknown."""
    name = name.strip()
    stems = (name, Path(name).stem, name.removesuffix(".nii.gz"))
    return next((stem for stem in stems if stem in ids), None)


def read_groups(path: Path, ids: Collection[str]) -> dict[str, str]:
    """Group of every case from a CSV: the file, and its group in the second column.

    The first line is a header unless it names a case; where the header has a column ``group``,
    that is taken. Lines of files that are not among ``ids`` are passed over, so that one CSV can
    serve a part of the data.

    Raises:
        DataError: the file cannot be read, a line has one column only, a case has two
            groups, or a case has none.
    """
    groups: dict[str, str] = {}
    rows = _rows(path)
    column = _group_column(rows, ids)
    for number, row in enumerate(rows, start=1):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= column or not row[column].strip():
            raise DataError(f"Line {number} of {path} has no group: expected file,group.")
        case = case_id(row[0], ids)
        if case is None:
            continue
        group = row[column].strip()
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


def with_groups(
    cases: list[Case], groups_file: Path | None, problems: list[str]
) -> tuple[Case, ...]:
    """The cases in natural order of their ids, each with its group where a CSV of groups is given.

    Args:
        cases: of the data, with the groups that the layout knows.
        groups_file: CSV whose groups take their place.
        problems: what is wrong with the file is added here.
    """
    cases = sorted(cases, key=lambda case: natural_key(case.id))
    if groups_file is None:
        return tuple(cases)
    try:
        groups = read_groups(groups_file, {case.id for case in cases})
    except DataError as error:
        problems.append(str(error))
        return tuple(cases)
    return tuple(replace(case, group=groups[case.id]) for case in cases)


def _group_column(rows: list[list[str]], ids: Collection[str]) -> int:
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    if "group" in header and case_id(rows[0][0], ids) is None:
        return header.index("group")
    return 1


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The groups file {path} cannot be read: {error}.") from error
