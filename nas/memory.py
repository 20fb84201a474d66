"""How much memory is free, and how much a process takes, as Linux tells it."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

KILO = 1024
CGROUP = Path("/sys/fs/cgroup")


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int | None:
    """Bytes that new processes can take without swapping; None where the system does not say.

    The smaller of what the machine has and what the limit of a container leaves.
    """
    left = [value for value in (_field(meminfo, "MemAvailable"), _container(cgroup)) if value]
    return min(left, default=None)


def resident(process: int | str = "self") -> int | None:
    """Bytes of memory that a process takes at present; None where that is not known."""
    return _field(Path(f"/proc/{process}/status"), "VmRSS")


def peak(process: int | str = "self") -> int | None:
    """The most bytes of memory that a process has taken; None where that is not known.

    That of getrusage is no replacement: a process inherits it from the one that starts it.
    """
    return _field(Path(f"/proc/{process}/status"), "VmHWM")


def give_back_freed() -> None:
    """Let the system have what has been freed, where the C library can be asked to (glibc).

    It keeps such memory for what is asked for next, and that is counted as the process's.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _field(path: Path, name: str) -> int | None:
    """A number of kilobytes from a file with a name and a number on each line, in bytes."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * KILO if found else None


def _container(folder: Path) -> int | None:
    """What is left below the memory limit of a container (cgroup v2); None without a limit.

    Pages of files that the kernel can drop at once count as free.
    """
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)", (folder / "memory.stat").read_text(), re.M)
    except (OSError, ValueError):
        return None
    return max(1, limit - used + (int(cached[1]) if cached else 0))
