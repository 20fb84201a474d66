"""Kernels that are compiled in processes beside this one, which needs neither numba nor torch."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from search_spaces.kernels.kept import is_empty, root

MOST_PROCESSES = 4
"""That compile kernels at a time."""

UNVECTORISED = {"NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"}
"""Kernels say themselves what they compute at once: the compiler need not look for more of it."""


@dataclass(frozen=True)
class Compilation:
    """Processes that compile kernels; none, if these are compiled already."""

    processes: list[subprocess.Popen[bytes]]

    def is_running(self) -> bool:
        """Whether one of them has not ended."""
        return any(process.poll() is None for process in self.processes)

    def wait(self) -> bool:
        """Wait until all have ended; whether they have compiled everything."""
        codes = [process.wait() for process in self.processes]
        return not any(codes)


def compile_in_background() -> Compilation:
    """Begin to compile what a relaxed cell needs, if nothing is compiled yet.

    The processes go on if this one ends, so that the next start finds what they have compiled. A
    machine with one processor compiles when it must.
    """
    processors = os.cpu_count() or 1
    count = min(MOST_PROCESSES, processors) if processors > 1 and is_empty() else 0
    return Compilation([_process(number, count) for number in range(count)])


def _process(number: int, count: int) -> subprocess.Popen[bytes]:
    """One of several, which share the work."""
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-m", "search_spaces.kernels.ahead", str(number), str(count)],
        env=os.environ | UNVECTORISED | {"NUMBA_CACHE_DIR": str(root())},
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        start_new_session=True,
    )
