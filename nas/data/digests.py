"""Digests of files, each of which is read once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from threading import Lock


class Digests:
    """SHA-256 of the bytes of files, by path; may be asked by several threads.

    A file is read when it is first asked for. What is written to it later is not noticed.
    """

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}
        self._locks: dict[Path, Lock] = defaultdict(Lock)
        self._guard = Lock()

    def of(self, path: Path) -> str:
        """In hexadecimal digits.

        Raises:
            OSError: the file cannot be read.
        """
        with self._guard:
            lock = self._locks[path]
        with lock:
            if path not in self._known:
                with path.open("rb") as stream:
                    self._known[path] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._known[path]
