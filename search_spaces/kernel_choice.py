"""Which path the relaxed cell takes on a CPU: compiled kernels, where numba is installed, or torch.

Both are the same mathematics. The choice holds for the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from search_spaces.kernels import LANES

Kernels = Literal["auto", "torch", "compiled"]

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
    """In words, what computes the relaxed cell, and why; under autocast, what computes it there.

    Args:
        device: where the network is.
        channels: that an operation sees in the first cell.
    """
    if reason := _not_compiled(device, channels):
        return f"relaxed cell: plain PyTorch{reason}"
    return "relaxed cell: kernels compiled by numba, single or double precision"


def without_kernels(
    device: torch.device | str, channels: int, dtype: torch.dtype = torch.float32
) -> str | None:
    """Why there are no kernels for such maps, wherever numba is, in words behind "plain PyTorch".

    Args:
        device: where they are.
        channels: of a node.
        dtype: of the maps; under autocast, operations are computed in its type.

    Returns:
        None if there are kernels.
    """
    if torch.device(device).type != "cpu":
        return f", as kernels are for a CPU, not for {device}"
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
    if dtype not in TYPES:
        name = str(dtype).removeprefix("torch.")
        return f" in passes of {name}, as kernels are for single or double precision"
    if channels % LANES:
        return f" where channels ({channels}) are no multiple of {LANES}"
    return None


def are_compiled(*tensors: Tensor) -> bool:
    """Whether kernels compute on these tensors, the channels of a node last."""
    first = tensors[0]
    return (
        not torch.compiler.is_compiling()
        and all(_plain(each) and each.dtype == first.dtype for each in tensors)
        and first.numel() > 0
        and _not_compiled(first.device, first.shape[-1], first.dtype) is None
    )


def _not_compiled(
    device: torch.device | str, channels: int, dtype: torch.dtype = torch.float32
) -> str | None:
    """Why kernels do not compute, in words behind "plain PyTorch"; None if they do."""
    if _POLICY.kernels == "torch":
        return ", as was asked for"
    if trouble := _trouble():
        return f", as {trouble}"
    return without_kernels(device, channels, dtype)


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
