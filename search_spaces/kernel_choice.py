"""Which path the relaxed cell takes on a CPU: compiled kernels, where numba is installed, or torch.

Both are the same mathematics. The choice holds for the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Kernels = Literal["auto", "torch", "compiled"]

LANES = 16
"""Channels of a node have to be a multiple of this."""

MOST_PROCESSES = 4
"""That compile kernels at a time."""

TYPES = (torch.float32, torch.float64)


@dataclass
class _Policy:
    kernels: Kernels = "auto"


_POLICY = _Policy()


def choose_kernels(kernels: Kernels) -> None:
    """Say which path this process takes from now on.

    Args:
        kernels: `compiled` where tensors allow it, `torch`, or `auto`: compiled if numba is there.

    Raises:
        ValueError: there is no such choice.
        ModuleNotFoundError: kernels are to be compiled, and numba cannot be; it says why.
    """
    if kernels not in get_args(Kernels):
        raise ValueError(f"kernels {kernels!r} is not one of {', '.join(get_args(Kernels))}")
    if kernels == "compiled" and (trouble := _trouble()):
        raise ModuleNotFoundError(trouble, name="numba")
    _POLICY.kernels = kernels


def path_in_use(device: torch.device | str = "cpu", channels: int = LANES) -> str:
    """In words, what computes the relaxed cell, and why.

    Args:
        device: where the network is.
        channels: of a node in the first cell.
    """
    if reason := _not_compiled(device, channels):
        return f"relaxed cell: plain PyTorch{reason}"
    return "relaxed cell: kernels compiled by numba, single or double precision"


def compile_ahead(device: torch.device | str = "cpu", channels: int = LANES) -> Compilation:
    """Begin to compile what a relaxed cell needs, on a first start, in processes beside this one.

    These go on if this one ends, so that the next start finds what they have compiled.

    Args:
        device: where the network is.
        channels: of a node in the first cell.
    """
    if _not_compiled(device, channels) or (os.cpu_count() or 1) == 1:
        return Compilation([])
    from search_spaces.kernels.compiling import is_empty

    count = min(MOST_PROCESSES, os.cpu_count() or 1) if is_empty() else 0
    return Compilation([_compiling_process(number, count) for number in range(count)])


@dataclass(frozen=True)
class Compilation:
    """Processes that compile kernels; none, if these are compiled already."""

    processes: list[subprocess.Popen[bytes]]

    def wait(self) -> bool:
        """Wait until all have ended; whether they have compiled everything."""
        codes = [process.wait() for process in self.processes]
        return not any(codes)


def are_compiled(*tensors: Tensor) -> bool:
    """Whether kernels compute on these tensors, the channels of a node last."""
    first = tensors[0]
    return (
        _POLICY.kernels != "torch"
        and first.dtype in TYPES
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and all(_plain(each) and each.dtype == first.dtype for each in tensors)
        and first.shape[-1] % LANES == 0
        and first.numel() > 0
        and _trouble() is None
    )


def _compiling_process(number: int, count: int) -> subprocess.Popen[bytes]:
    """One of several, which share the work."""
    from search_spaces.kernels.compiling import root

    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-m", "search_spaces.kernels.ahead", str(number), str(count)],
        env=os.environ | {"NUMBA_CACHE_DIR": str(root())},
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        start_new_session=True,
    )


def _not_compiled(device: torch.device | str, channels: int) -> str | None:
    """Why kernels do not compute, in words behind "plain PyTorch"; None if they do."""
    if _POLICY.kernels == "torch":
        return ", as was asked for"
    if trouble := _trouble():
        return f", as {trouble}"
    if torch.device(device).type != "cpu":
        return f", as kernels are for a CPU, not for {device}"
    if channels % LANES:
        return f" where channels ({channels}) are no multiple of {LANES}"
    return None


def _plain(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and tensor.device.type == "cpu"


@cache
def _trouble() -> str | None:
    """Why kernels cannot be compiled, if so."""
    if find_spec("numba") is None:
        return "numba is not installed"
    try:
        import_module("search_spaces.kernels.norms")
    except ImportError as error:
        return f"numba does not load ({error})"
    return None
