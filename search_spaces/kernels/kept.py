"""Where compiled kernels are kept.

In the folder that NUMBA_CACHE_DIR names, else in the user's cache, else in a temporary one. They
are compiled anew when any file of this package has changed, for another processor, and by another
version of the compiler.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path


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


@cache
def _for_this_process() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="discriminator-nas-kernels-")


def _places() -> Iterator[Path]:
    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    yield Path.home() / ".cache"
    yield Path(_for_this_process().name)
