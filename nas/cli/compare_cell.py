"""One cell of a comparison, as nas-compare starts it: python -m nas.cli.compare_cell FOLDER."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from nas.cli.common import main as run_command
from nas.errors import UsageError

COMMAND = "nas-compare-cell"
WATCH_SECONDS = 1.0


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


def stop_with_parent() -> None:
    """Save and leave, as on SIGTERM, when the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Entry point."""
    run_command(COMMAND, compare_cell)


if __name__ == "__main__":
    main()
