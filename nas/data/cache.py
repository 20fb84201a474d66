"""Decoded images and masks in files that are mapped into memory, for this and for later runs.

Each case has a file of its own. Its name is the digest of all that the content depends on: the
case's id and the bytes of its files (not their places or dates), the settings of the reader, the
size, the versions of what decodes, and `FORMAT`. An entry therefore never changes; where anything
else does, another entry is looked for. A file is:

    DESCRIPTION bytes    a line of JSON (types and shapes), a line with the checksum, spaces
    the image            (C, H, W), uint8 or float32 (`nas.data.decoded`)
    the mask             (H, W) uint8

Files are written under another name in the same folder and then renamed, so that runs may share a
folder and start at once: they write the same content, and the last one stays. Entries that no
settings lead to any more are not removed; the folder may be deleted at any time between runs.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import torch

from nas.data.cases import Case, Reader, Slice, Source
from nas.data.decoded import Decoded
from nas.data.digests import Digests
from nas.errors import RunError
from nas.runs import atomic_write
from nas.settings import DataSettings
from nas.version import __version__

FORMAT = 1
"""To be raised whenever a reader, the resizing or the form of the files changes."""

DESCRIPTION = 512
"""Bytes before the pixels."""

SUFFIX = ".case"

DECODERS = ("torch", "numpy", "pillow", "scikit-image", "nibabel", "pydicom", "tifffile")
"""Distributions that decode, preprocess or resize."""

WITHOUT_EFFECT = (
    "data_root",
    "groups",
    "split",
    "fold",
    "train_images",
    "val_images",
    "split_seed",
    "unlabelled",
    "unlabelled_images",
    "cache",
    "standardise",
)
"""Settings of the data that change no pixel of a case."""

_OF_OTHER_CASES = ("cases", "lists", "problems", "notes", "settings")
"""Fields of readers that say nothing of how a case is read (the settings are taken as they are)."""


class Cache:
    """Cases of one reader on disk; may be asked by several threads.

    Args:
        folder: where the files are; made where there is none.
        reader: of the cases.
        settings: by which the reader was opened.

    Attributes:
        counts: entries ``found``, ``built``, and among these, those that were ``damaged``.
    """

    def __init__(self, folder: Path, reader: Reader, settings: DataSettings) -> None:
        self.counts: Counter[str] = Counter(found=0, built=0, damaged=0)
        self._folder = folder
        self._common = [FORMAT, _versions(), _effective(settings), _traits(reader)]
        self._digests = Digests()
        self._counting = Lock()

    def fetch(self, case: Case, size: tuple[int, int], decode: Callable[[], Decoded]) -> Decoded:
        """A case, mapped from its file; decoded and written first where there is no good file.

        Args:
            case: of the reader.
            size: (height, width) to which ``decode`` resizes.
            decode: reads the case itself.

        Returns:
            Exactly what ``decode`` returns.

        Raises:
            RunError: the file cannot be written.
        """
        try:
            path = self._path(case, size)
        except OSError:
            return decode()
        found = self._opened(path)
        if found is not None:
            self._count("found")
            return found
        decoded = decode()
        self._write(path, decoded)
        self._count("built")
        return _opened(path) or decoded

    def _path(self, case: Case, size: tuple[int, int]) -> Path:
        sources = (case.image, case.mask, case.instances, case.field_of_view)
        parts = [case.id, size, [self._content(source) for source in sources]]
        text = json.dumps([*self._common, *parts], sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / name[:2] / f"{name}{SUFFIX}"

    def _content(self, source: Source | None) -> Any:
        """What is in a source, wherever it is kept."""
        if isinstance(source, Path):
            return self._digests.of(source)
        if isinstance(source, Slice):
            return ["slice", self._digests.of(source.path), source.number]
        if isinstance(source, tuple):
            return [self._content(part) for part in source]
        return source

    def _opened(self, path: Path) -> Decoded | None:
        found = _opened(path)
        if found is None and path.exists():
            self._count("damaged")
        return found

    def _count(self, name: str) -> None:
        with self._counting:
            self.counts[name] += 1

    def _write(self, path: Path, decoded: Decoded) -> None:
        parts = [np.ascontiguousarray(part.numpy()) for part in decoded]
        description = json.dumps([[str(part.dtype), part.shape] for part in parts]).encode()
        checksum = zlib.crc32(description)
        for part in parts:
            checksum = zlib.crc32(part.data, checksum)
        head = description + b"\n%08x\n" % checksum
        try:
            with atomic_write(path) as stream:
                stream.write(head.ljust(DESCRIPTION))
                for part in parts:
                    stream.write(part.data)
        except RunError as error:
            raise RunError(
                f"--cache {self._folder} cannot be written ({error.__cause__}): free space, name "
                "another folder, or leave --cache out."
            ) from error


def _opened(path: Path) -> Decoded | None:
    """The case in a file; None where there is none, or a damaged one."""
    try:
        with path.open("rb") as stream:
            return _mapped(stream)
    except (OSError, ValueError, TypeError):
        return None


def _mapped(stream: BinaryIO) -> Decoded:
    """The case in an open file.

    Raises:
        OSError: the file cannot be read or mapped.
        TypeError, ValueError: it is damaged.
    """
    description, checksum, _ = stream.read(DESCRIPTION).split(b"\n")
    found = zlib.crc32(description)
    while block := stream.read(2**20):
        found = zlib.crc32(block, found)
    if found != int(checksum, 16):
        raise ValueError("another checksum")
    # Copy on write: torch warns of memory that cannot be written, and nobody writes to it.
    content = np.memmap(stream, np.uint8, "c", DESCRIPTION)
    parts, start = [], 0
    for kind, shape in json.loads(description):
        end = start + math.prod(shape) * np.dtype(kind).itemsize
        parts.append(torch.from_numpy(content[start:end].view(kind).reshape(shape)))
        start = end
    pixels, mask = parts
    return Decoded(pixels, mask)


def _effective(settings: DataSettings) -> dict[str, str]:
    """The settings that may change a pixel."""
    names = [name for name in settings.__struct_fields__ if name not in WITHOUT_EFFECT]
    return {name: repr(getattr(settings, name)) for name in names}


def _versions() -> dict[str, str]:
    found = {"nas": __version__}
    for name in DECODERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _traits(value: Any) -> Any:
    """What a reader knows beside the settings (the meaning of values, say), as JSON.

    Of a reader, these are the fields that its repr shows; places of files do not count.

    Raises:
        TypeError: a field has a type of which it is not known what of it counts.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return "path"
    if isinstance(value, Mapping):
        return sorted([str(_traits(name)), _traits(part)] for name, part in value.items())
    if isinstance(value, tuple | list):
        return [_traits(part) for part in value]
    if isinstance(value, frozenset | set):
        return sorted(str(_traits(part)) for part in value)
    if not is_dataclass(value):
        raise TypeError(f"a reader's field of the type {type(value).__qualname__} in a cache's key")
    shown = [field.name for field in fields(value) if field.repr]
    own = [name for name in shown if name not in _OF_OTHER_CASES]
    return [type(value).__qualname__, *([name, _traits(getattr(value, name))] for name in own)]
