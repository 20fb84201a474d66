"""One trial of a sweep, as nas-sweep starts it: python -m nas.cli.sweep_trial FOLDER."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from nas.cli.common import main as run_command
from nas.cli.stopping import stop_with_parent
from nas.errors import UsageError

COMMAND = "nas-sweep-trial"
WATCH_SECONDS = 0.2


def sweep_trial() -> None:
    """Bring the trial to its end."""
    if len(sys.argv) != 2:
        raise UsageError(
            f"One folder of a trial was expected, not {len(sys.argv) - 1} arguments; nas-sweep "
            "starts trials by itself."
        )
    stop_with_parent()

    from nas.sweep.trial import PRUNED_FILE
    from nas.sweep.work import run_trial

    folder = Path(sys.argv[1])
    if not (folder / PRUNED_FILE).exists():
        stop_with_file(folder / PRUNED_FILE)
        run_trial(folder)


def stop_with_file(path: Path) -> None:
    """Save and leave, as on SIGTERM, when a file is there."""

    def watch() -> None:
        while not path.exists():
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Entry point."""
    run_command(COMMAND, sweep_trial)


if __name__ == "__main__":
    main()
