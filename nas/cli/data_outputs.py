"""Files and folders that nas-data writes: new ones, so that nothing is lost."""

from __future__ import annotations

from pathlib import Path

from nas.cli.common import check_writable
from nas.errors import UsageError


def require_new_file(path: Path) -> None:
    """Make sure, before any work, that a file is not there yet and can be written.

    Raises:
        UsageError: there is such a file or folder.
        RunError: its folder cannot be made or written into.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file by -o.")
    if path.exists():
        raise UsageError(f"{path} exists and is not overwritten: remove it, or name another by -o.")
    check_writable(path.parent)


def require_new_folder(path: Path) -> None:
    """Make sure, before any work, that a folder is empty and can be written into; makes it.

    Raises:
        UsageError: it is a file, or holds something.
        RunError: it cannot be made or written into.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file: name a folder by -o.")
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(
            f"{path} is not empty, and nothing in it is overwritten: empty it, or name another by "
            "-o."
        )
    check_writable(path)
