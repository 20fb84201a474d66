"""Which kernels compute the relaxed cells of a search on a CPU."""

from __future__ import annotations

from nas.errors import UsageError
from search_spaces.kernel_choice import Kernels, choose_kernels


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
