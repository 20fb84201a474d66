"""How kernels are compiled and run in threads.

A kernel is compiled when it is first called, with its parts, and kept on disk for the next process
(`search_spaces.kernels.kept`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config

from search_spaces.kernels.kept import folder
from search_spaces.kernels.tape import call

_njit: Any = partial(numba.njit, error_model="numpy", boundscheck=False, no_cfunc_wrapper=True)
"""No kernel is called from C. That the compiler has this option, its types do not say."""


def compiled(kernel: Callable[..., Any]) -> Any:
    """The function as machine code, which other threads need not wait for."""
    with _kept_in(folder()):
        return _njit(nogil=True, cache=True)(kernel)


def kernel_part(function: Callable[..., Any]) -> Any:
    """Part of kernels, compiled for whatever types they call it with; Python cannot call it.

    It has no entry point and no file of its own: both take long to make.
    """
    return _njit(no_cpython_wrapper=True)(function)


def in_threads(
    kernel: Callable[..., object],
    given: tuple[Any, ...],
    written: Sequence[np.ndarray],
    tasks: int,
    threads: int,
) -> None:
    """Call ``kernel(*given, begin, end)`` for shares of the tasks, which do not need each other.

    Args:
        kernel: depends on what it is given alone.
        given: its first arguments.
        written: of these, what it writes into.
        tasks: how many.
        threads: to share them.
    """
    if min(threads, tasks) <= 1:
        call(kernel, (*given, 0, tasks), written)
    else:
        call(_share, (kernel, given, tasks, threads), written)


def _share(kernel: Callable[..., object], given: tuple[Any, ...], tasks: int, threads: int) -> None:
    parts = min(threads, tasks)
    bounds = [tasks * part // parts for part in range(parts + 1)]
    list(_pools.of(threads).map(partial(kernel, *given), bounds[:-1], bounds[1:]))


class _Pools(threading.local):
    """Threads for kernels, of each thread that calls some: these do not wait for each other."""

    def __init__(self) -> None:
        self._by_size: dict[int, ThreadPoolExecutor] = {}

    def of(self, threads: int) -> ThreadPoolExecutor:
        """So many, which are kept."""
        if threads not in self._by_size:
            pool = ThreadPoolExecutor(threads, thread_name_prefix="kernels")
            self._by_size[threads] = pool
        return self._by_size[threads]


_pools = _Pools()


@contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(place)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
