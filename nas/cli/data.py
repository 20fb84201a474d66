"""nas-data: look at data before anything trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse
from nas.errors import DataError
from nas.settings import DataSettings

if TYPE_CHECKING:
    from rich.table import Table

    from nas.data.check import Report

COMMAND = "nas-data"
SHOWN_PROBLEMS = 20


class Options(Struct, frozen=True, kw_only=True):
    """Verify data: decode every file as training would, and say all that is wrong."""

    action: tyro.conf.Positional[Literal["check"]]
    """check: every image and mask is decoded and compared; exit code 3 if anything is wrong."""

    data: DataSettings = DataSettings()

    config: Path | None = None
    """TOML file with a [data] table; options on the command line override it."""


def data() -> None:
    """Check, and print what was found."""
    options = parse(Options, COMMAND)

    from rich.console import Console
    from rich.progress import Progress

    from nas.data.check import check

    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading")
        report = check(
            options.data, lambda done, total: progress.update(task, completed=done, total=total)
        )
    console.print(report_table(report))
    for note in report.notes:
        print(f"Note: {note}")
    for problem in report.problems[:SHOWN_PROBLEMS]:
        print(f"Problem: {problem}")
    if not report.ok:
        more = len(report.problems) - SHOWN_PROBLEMS
        hidden = f" ({more} are not shown)" if more > 0 else ""
        raise DataError(f"Problems to mend before training: {len(report.problems)}{hidden}.")
    print("Verdict: ready to train on.")


def report_table(report: Report) -> Table:
    """What was found, two columns."""
    from rich.table import Table

    table = Table(title=report.dataset, show_header=False, title_justify="left")
    table.add_row("cases", str(report.cases))
    table.add_row("sizes (height x width)", _counted(report.sizes))
    table.add_row("stored as", _counted(report.kinds))
    for name, share in zip(report.classes, report.shares, strict=False):
        table.add_row(f"pixels of {name}", f"{100 * share:.2f} %")
    table.add_row("masks without foreground", str(len(report.without_foreground)))
    table.add_row("equal images", str(sum(len(ids) for ids in report.duplicates)))
    table.add_row("groups", str(report.groups) if report.groups else "none given")
    table.add_row("split", ", ".join(f"{n} {name}" for name, n in report.split.items()) or "-")
    return table


def _counted(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name}: {count}" for name, count in ordered[:6])
    return shown + (", ..." if len(ordered) > 6 else "") or "-"


def main() -> None:
    """Entry point."""
    run_command(COMMAND, data)


if __name__ == "__main__":
    main()
