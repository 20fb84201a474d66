"""The optional libraries that read medical files: nibabel, pydicom, tifffile."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from nas.errors import UsageError

INSTALL = "pip install 'discriminator-nas[medical]'"


def library(module: str, path: Path) -> Any:
    """A module of the optional extra ``medical``, imported when a file needs it.

    Args:
        module: dotted name, such as ``nibabel``.
        path: the file that is to be read.

    Raises:
        UsageError: it is not installed; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(f"{path} is read with {package}, which is missing: {INSTALL}.") from error
