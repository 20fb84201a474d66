"""Which kernels compute the relaxed cells of a search on a CPU."""

from __future__ import annotations

from collections.abc import Callable

from nas.devices import resolve_device
from nas.errors import UsageError
from nas.ranks import number_here
from nas.settings import SearchSettings
from search_spaces.kernel_choice import Compilation, Kernels, choose_kernels, compile_ahead


def take_kernels(kernels: Kernels) -> None:
    """Let relaxed cells on a CPU be computed by compiled kernels, by torch, or by what is there.

    Raises:
        UsageError: kernels are to be compiled, and numba cannot be used.
    """
    try:
        choose_kernels(kernels)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--kernels compiled needs numba, and {error}: install discriminator-nas[fast], or "
            "choose --kernels auto or torch."
        ) from error


def kernels_ahead(settings: SearchSettings, say: Callable[[str], None]) -> Compilation:
    """Begin to compile the kernels of a search on its first start, while it is prepared.

    Args:
        settings: of the search.
        say: tells the user.
    """
    if settings.space.space != "cell" or number_here() > 0:
        return Compilation([])
    compilation = compile_ahead(resolve_device(settings.run.device), settings.cell.channels)
    if compilation.processes:
        say("Kernels are compiled for this machine, once, in the background.")
    return compilation


def wait_for(compilation: Compilation, say: Callable[[str], None]) -> None:
    """Wait until kernels are compiled.

    Args:
        compilation: of them.
        say: tells the user if that has failed; what is missing is compiled when it is called.
    """
    if not compilation.wait():
        say("Not all kernels could be compiled in the background: the first step compiles them.")
