"""How much memory this process takes, now and at most: of the machine, or of a GPU."""

from __future__ import annotations

import resource
import sys

import torch

from nas.memory import peak, resident


def present_bytes(device: torch.device) -> int:
    """Memory at present: on a GPU what tensors hold, on a CPU what is resident of the process.

    Where the system does not tell what is resident, the largest that has been.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return resident() or _largest()


def peak_bytes(device: torch.device) -> int:
    """The largest that `present_bytes` has been."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak() or _largest()


def _largest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
