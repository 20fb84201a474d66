"""How kernels are compiled, kept and run in threads.

A kernel is compiled when it is first called, and kept on disk for the next process: in the folder
that NUMBA_CACHE_DIR names, else in the user's cache, else in a temporary one. It is compiled anew
when any file of this package has changed, for another processor, and by another version of the
compiler. For that, a kernel that is made by a function may close over plain numbers alone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config


def compiled(kernel: Callable[..., Any]) -> Any:
    """The function as machine code, which other threads need not wait for."""
    with _kept_in(folder()):
        return numba.njit(nogil=True, error_model="numpy", boundscheck=False, cache=True)(kernel)


def named(*parts: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give one of several kernels that a function makes a name, and so a file, of its own.

    Processes that compile different kernels of one name at a time could exchange their files.
    """

    def name(kernel: Callable[..., Any]) -> Callable[..., Any]:
        kernel.__qualname__ = "_".join(map(str, parts))
        return kernel

    return name


@cache
def folder() -> Path:
    """Where compiled kernels are kept: a folder that can be written, of these sources alone."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    name = f"discriminator-nas-kernels/{digest.hexdigest()[:16]}"
    for place in _places():
        try:
            (place / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place / name, os.W_OK):
            break
    return place / name


def root() -> Path:
    """What NUMBA_CACHE_DIR has to name so that another process keeps its kernels here too."""
    return folder().parents[1]


def is_empty() -> bool:
    """Whether nothing is kept there yet."""
    return not any(folder().rglob("*.nbi"))


def in_threads(kernel: Callable[[int, int], object], tasks: int, threads: int) -> None:
    """Call ``kernel(begin, end)`` for shares of the tasks, which must not depend on each other."""
    parts = min(threads, tasks)
    if parts <= 1:
        kernel(0, tasks)
        return
    bounds = [tasks * part // parts for part in range(parts + 1)]
    list(_pool(threads).map(kernel, bounds[:-1], bounds[1:]))


@cache
def _for_this_process() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="discriminator-nas-kernels-")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernels")


def _places() -> Iterator[Path]:
    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    yield Path.home() / ".cache"
    yield Path(_for_this_process().name)


@contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(place)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
