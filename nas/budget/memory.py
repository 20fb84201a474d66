"""How much memory this process takes, now and at most: of the machine, or of a GPU."""

from __future__ import annotations

import resource
import sys

import torch

from nas.memory import peak, resident


def present_bytes(device: torch.device) -> int:
    """Memory at present: on a GPU what torch has reserved, on a CPU what is resident.

    Where the system does not tell what is resident, the largest that has been.
    """
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    return resident() or _largest()


def peak_bytes(device: torch.device) -> int:
    """The largest that `present_bytes` has been."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return peak() or _largest()


def _largest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
