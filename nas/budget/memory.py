"""How much memory this process takes, now and at most: of the machine, or of a GPU."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")


def present_bytes(device: torch.device) -> int:
    """Memory at present: on a GPU what tensors hold, on a CPU what is resident of the process.

    Where the system does not tell what is resident, the largest that has been.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status("VmRSS") or _largest()


def peak_bytes(device: torch.device) -> int:
    """The largest that `present_bytes` has been."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM") or _largest()


def _status(name: str) -> int | None:
    """A number of bytes that Linux tells of the process.

    That of getrusage is no replacement there: a process inherits it from the one that starts it.
    """
    if not STATUS.exists():
        return None
    lines = STATUS.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def _largest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
