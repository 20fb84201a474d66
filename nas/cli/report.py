"""nas-report: a page about a run or a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from msgspec import Struct

from nas.cli.common import main as run_command
from nas.cli.common import parse
from nas.errors import UsageError
from nas.settings import Count

COMMAND = "nas-report"


class Options(Struct, frozen=True, kw_only=True):
    """Write one page of HTML about a run (a search, a retraining, an evaluation) or a comparison.

    It needs no network and no other file: send it, or open it on a phone. Whatever the run has not
    (an evaluation, its end) is said on the page.
    """

    path: tyro.conf.Positional[Path]
    """Folder of a run, of an evaluation in it, or of a comparison."""

    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Page to write, ends in .html; by default report.html in the folder. One that is there is
    replaced."""

    cases: Count = 9
    """Images to show of each evaluation, or of each table of a comparison: about a third of them
    the best, the median and the worst ones. 0 shows none."""

    open: bool = False
    """Open the page in the browser."""

    config: Path | None = None
    """TOML file with these options; those on the command line override it."""


def report() -> None:
    """Write the page, and say where it is and how large."""
    options = parse(Options, COMMAND)
    out = options.out or options.path / "report.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"A page ends in .html, and --out {out} does not.")
    from nas.report.write import write_report

    size = write_report(options.path, out, options.cases)
    print(f"Written: {out} ({size / 1e6:.2f} MB)")
    if options.open:
        _open(out)


def _open(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        print(f"No browser was found: open {page} in one.")


def main() -> None:
    """Entry point."""
    run_command(COMMAND, report)


if __name__ == "__main__":
    main()
