"""One cell of a comparison, as nas-compare starts it: python -m nas.cli.compare_cell FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from nas.cli.common import main as run_command
from nas.cli.stopping import stop_with_parent
from nas.errors import UsageError

COMMAND = "nas-compare-cell"


def compare_cell() -> None:
    """Bring the cell to its end."""
    if len(sys.argv) != 2:
        raise UsageError(
            f"One folder of a cell was expected, not {len(sys.argv) - 1} arguments; nas-compare "
            "starts cells by itself."
        )
    stop_with_parent()

    from nas.comparison.work import run_cell

    run_cell(Path(sys.argv[1]))


def main() -> None:
    """Entry point."""
    run_command(COMMAND, compare_cell)


if __name__ == "__main__":
    main()
