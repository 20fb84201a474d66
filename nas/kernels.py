"""Which kernels compute the relaxed cells of a search on a CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

from nas.errors import UsageError
from nas.ranks import number_here
from nas.settings import SearchSettings
from search_spaces.kernels import LANES
from search_spaces.kernels.background import Compilation, compile_in_background

DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")
"""Libraries without which torch can use no GPU."""


def take_kernels(kernels: Literal["auto", "torch", "compiled"]) -> None:
    """Let relaxed cells on a CPU be computed by compiled kernels, by torch, or by what is there.

    Raises:
        UsageError: kernels are to be compiled, and numba cannot be used.
    """
    from search_spaces.kernel_choice import choose_kernels

    try:
        choose_kernels(kernels)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--kernels compiled needs numba, and {error}: install discriminator-nas[fast], or "
            "choose --kernels auto or torch."
        ) from error


def path_taken(settings: SearchSettings) -> str:
    """In words, what computes the relaxed cells of a search, and why."""
    from nas.devices import autocast, resolve_device
    from search_spaces.kernel_choice import path_in_use

    device = resolve_device(settings.run.device)
    with autocast(settings.run.precision, device)():
        return path_in_use(device, _seen_channels(settings))


def check_kernels(settings: SearchSettings) -> None:
    """Refuse to compute relaxed cells by compiled kernels where there are none for them.

    Raises:
        UsageError: with what there are kernels for.
    """
    if settings.run.kernels != "compiled" or settings.space.space != "cell":
        return
    from nas.devices import autocast, resolve_device
    from search_spaces.kernel_choice import without_kernels

    device = resolve_device(settings.run.device)
    with autocast(settings.run.precision, device)():
        reason = without_kernels(device, _seen_channels(settings))
    if reason:
        raise UsageError(
            f"--kernels compiled cannot be: the relaxed cell is computed by plain PyTorch{reason}; "
            f"give {_remedy(settings, device.type)}, or choose --kernels auto or torch."
        )


def _seen_channels(settings: SearchSettings) -> int:
    """How many channels an operation sees in the first cell."""
    return settings.cell.channels // settings.cell.partial_channels


def _remedy(settings: SearchSettings, device: str) -> str:
    """The option with which there would be kernels."""
    if device != "cpu":
        return "--device cpu"
    if settings.run.precision != "fp32":
        return "--precision fp32"
    parts = settings.cell.partial_channels
    beside = f" beside --partial-channels {parts}" if parts > 1 else ""
    return f"--channels {LANES * parts} or a multiple of it{beside}"


def kernels_ahead(settings: SearchSettings) -> Compilation:
    """Begin to compile the kernels of a search on its first start, while it is prepared.

    Best called before torch is imported, which takes long, and is only needed where there may be a
    GPU.
    """
    wanted = (
        settings.space.space == "cell"
        and settings.cell.channels % LANES == 0
        and settings.run.kernels != "torch"
        and find_spec("numba") is not None
        and number_here() == 0
        and _is_cpu(settings.run.device)
    )
    return compile_in_background() if wanted else Compilation([])


def _is_cpu(device: str) -> bool:
    if device != "auto" or not any(map(_loads, DRIVERS)):
        return device in ("auto", "cpu")
    from nas.devices import resolve_device

    return resolve_device(device).type == "cpu"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def wait_for(compilation: Compilation, say: Callable[[str], None]) -> None:
    """Wait until kernels are compiled.

    Args:
        compilation: of them.
        say: tells the user what is waited for, and if it has failed; what is missing is compiled
            when it is called.
    """
    if compilation.is_running():
        say("Kernels are being compiled for this machine, once.")
    if not compilation.wait():
        say("Not all kernels could be compiled in the background: the first step compiles them.")
