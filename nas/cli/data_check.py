"""nas-data check: decode everything before anything trains on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from nas.cli.common import parse, refuse_unused
from nas.cli.data_options import AFTER_DECODING
from nas.cli.data_outputs import require_new_file
from nas.cli.data_progress import progress_bar
from nas.errors import DataError
from nas.settings import DataSettings

if TYPE_CHECKING:
    from rich.table import Table

    from nas.data.check import Objects, Report

SHOWN_PROBLEMS = 20


class Options(Struct, frozen=True, kw_only=True):
    """Verify data: decode every file as training would, and say all that is wrong.

    Exit code 3 if anything is.
    """

    data: DataSettings = DataSettings()

    write_groups: Path | None = None
    """Write a CSV for --groups, a new file, in which images that are nearly the same are of one
    group, together with the groups that are known."""

    config: Path | None = None
    """TOML file with a [data] table; options on the command line override it."""


def run(arguments: Sequence[str]) -> None:
    """Check, and print what was found."""
    options = parse(Options, "nas-data check", arguments)
    refuse_unused(AFTER_DECODING, arguments)

    from rich.console import Console

    from nas.data.check import examine
    from nas.data.near_duplicates import groups_table

    if options.write_groups is not None:
        require_new_file(options.write_groups)
    console = Console()
    with progress_bar(console, "reading") as tell:
        report, _, cases = examine(options.data, tell)
    console.print(report_table(report))
    if options.write_groups is not None:
        options.write_groups.write_text(groups_table(cases, report.near_duplicates))
        print(f"Written: {options.write_groups}, for --groups.")
    for note in report.notes:
        print(f"Note: {note}")
    for problem in report.problems[:SHOWN_PROBLEMS]:
        print(f"Problem: {problem}")
    print(f"Verdict: {report.verdict[0].lower()}{report.verdict[1:]}")
    if not report.ok:
        more = len(report.problems) - SHOWN_PROBLEMS
        hidden = f" ({more} are not shown)" if more > 0 else ""
        raise DataError(f"Problems to mend before training: {len(report.problems)}{hidden}.")


def report_table(report: Report) -> Table:
    """What was found, two columns."""
    from rich.table import Table

    table = Table(title=report.dataset, show_header=False, title_justify="left")
    table.add_row("cases", str(report.cases))
    table.add_row("sizes (height x width)", _counted(report.sizes))
    table.add_row("stored as", _counted(report.kinds))
    for index, name in enumerate(report.classes[: len(report.shares)]):
        table.add_row(f"pixels of {name}", _share(report, index))
    if report.unknown:
        table.add_row("pixels of unknown class", f"{100 * report.unknown:.2f} %")
    table.add_row("masks without foreground", str(len(report.without_foreground)))
    if report.objects is not None:
        table.add_row("objects", _objects(report.objects))
    if report.field_of_view is not None:
        table.add_row("field of view", f"{100 * report.field_of_view:.2f} % of the image")
    table.add_row("equal images", str(sum(len(ids) for ids in report.duplicates)))
    table.add_row("nearly equal images", str(sum(len(ids) for ids in report.near_duplicates)))
    table.add_row("groups", str(report.groups) if report.groups else "none given")
    table.add_row("split", ", ".join(f"{n} {name}" for name, n in report.split.items()) or "-")
    return table


def _share(report: Report, index: int) -> str:
    """Share of all pixels that a class has, and in each subset."""
    subsets = [f"{name} {100 * each[index]:.2f}" for name, each in report.split_shares.items()]
    return f"{100 * report.shares[index]:.2f} %" + (f" ({', '.join(subsets)})" if subsets else "")


def _objects(objects: Objects) -> str:
    without = f", {objects.without} without any" if objects.without else ""
    return (
        f"{objects.count} in {objects.cases} images{without}; smallest {objects.smallest} px, "
        f"median {objects.median:.0f} px"
    )


def _counted(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name}: {count}" for name, count in ordered[:6])
    return shown + (", ..." if len(ordered) > 6 else "") or "-"
