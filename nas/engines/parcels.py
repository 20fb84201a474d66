"""Folders that travel between machines: packed, brought home, and the paths in their files.

A folder becomes a compressed tar archive in memory. It is brought home in two steps: the archive is
written under a hidden name beside the folder, in one step; then the folder is made equal to it and
the archive deleted. What is interrupted in between is done once more by `finish`.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from nas.runs import UNFINISHED, atomic_write

TEXT = (".json", ".jsonl", ".toml", ".txt", ".csv")
"""How the names of files end that may name paths."""
STAYS = (".lock", ".engine", ".origin", ".stop")
"""Files that mean something on their own machine alone."""
FASTEST = 1


def pack(path: Path) -> bytes:
    """A folder, or a single file, as an archive; what is still being written is left out."""
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream, mode="w:gz", compresslevel=FASTEST, dereference=True
    ) as archive:
        for found, name in _members(path):
            archive.add(found, name, recursive=False)
    return stream.getvalue()


def _members(path: Path) -> Iterator[tuple[Path, str]]:
    """What goes into an archive, folders before what is in them, with its name there."""
    if path.is_file():
        yield path, path.name
    for folder, folders, files in os.walk(path, followlinks=True):
        folders.sort()
        for name in [*folders, *sorted(files)]:
            if name not in STAYS and not name.endswith(UNFINISHED):
                found = Path(folder) / name
                yield found, str(found.relative_to(path))


def unpack(content: bytes, folder: Path) -> None:
    """Put what is in an archive into a folder; whatever else is there stays.

    Each file is replaced in one step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".parcel-") as name:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(name, filter="data")
        for path in sorted(Path(name).rglob("*")):
            place = folder / path.relative_to(name)
            if path.is_dir():
                place.mkdir(exist_ok=True)
            else:
                os.replace(path, place)


def names(content: bytes) -> set[str]:
    """What is in an archive."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return set(archive.getnames())


def journal(folder: Path) -> Path:
    """Where the archive is from which a folder is being brought home."""
    return folder.with_name(f".{folder.name}.tar.gz")


def bring_home(content: bytes, folder: Path) -> None:
    """Make a folder equal to an archive.

    Raises:
        RunError: it cannot be written.
    """
    with atomic_write(journal(folder)) as stream:
        stream.write(content)
    finish(folder)


def finish(folder: Path) -> None:
    """Bring a folder home whose archive is still there, if it is."""
    path = journal(folder)
    if not path.exists():
        return
    content = path.read_bytes()
    unpack(content, folder)
    kept = names(content) | set(STAYS)
    for found in sorted(folder.rglob("*"), reverse=True):
        if str(found.relative_to(folder)) not in kept and found.name not in STAYS:
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    path.unlink()


def relocate(folder: Path, places: Mapping[str, str]) -> None:
    """Replace paths in the text files of a folder, each by its place, with all that is below it."""
    forms = {
        form: written(place)
        for path, place in places.items()
        for written in (str, _in_json)
        for form in (written(path),)
    }
    if not forms:
        return
    longest_first = sorted(forms, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, longest_first))})(?![\w.-])")
    for path in folder.rglob("*"):
        if path.suffix in TEXT and path.is_file():
            text = path.read_text(errors="surrogateescape")
            changed = pattern.sub(lambda match: forms[match[1]], text)
            if changed != text:
                path.write_text(changed, errors="surrogateescape")


def _in_json(path: str) -> str:
    """A path as it stands within quotes of JSON."""
    return json.dumps(path)[1:-1]
