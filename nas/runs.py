"""A run's folder: settings, split, records, checkpoints; everything needed to repeat it or go on.

settings.toml        the resolved settings; works as --config of a new run
split.json           which case is in which subset, and the hash of that
run.json             command, versions, machine, times, deviations from the published method
metrics.jsonl        one record per epoch
checkpoints/         last.pt to go on from; segmenter.pt to use and a copy of the
                     discriminator's genotype.json where it has one (retrainings)
genotypes/           one file per epoch, with probabilities (searches)
notes.txt            sentences about the run that its user should read
pictures/, tensorboard/
.lock                held by the process that trains in the folder
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pickle
import platform
import shlex
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import tomli_w

from nas.errors import RunError, UsageError
from nas.version import __version__
from search_spaces.description import Role

Settings = TypeVar("Settings", bound=msgspec.Struct)

CHECKPOINT_FORMAT = "discriminator-nas/checkpoint"
CHECKPOINT_VERSION = 1
RECORDED_PACKAGES = ("torch", "numpy", "scipy", "pillow")
UNFINISHED = ".unfinished"
"""How the names of files end that are still being written."""


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        RunError: the file cannot be written; the old content is still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        Path(name).unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> RunError:
    """The error for a file that cannot be written, with the system's reason."""
    return RunError(
        f"Cannot write {path}: {error.strerror or error}. Free space, or choose a folder that you "
        "may write to; what was saved before is untouched."
    )


@dataclass(frozen=True)
class RunFolder:
    """The places in a run's folder, and how they are read and written."""

    path: Path

    @property
    def is_written(self) -> bool:
        """Whether this process writes into it."""
        return True

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.toml"

    @property
    def split_file(self) -> Path:
        return self.path / "split.json"

    @property
    def record_file(self) -> Path:
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def genotypes(self) -> Path:
        return self.path / "genotypes"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def checkpoint(self, name: str) -> Path:
        """Where the checkpoint ``last`` or ``segmenter`` is."""
        return self.path / "checkpoints" / f"{name}.pt"

    def own_genotype(self, role: Role) -> Path:
        """Where a retraining keeps its copy of the genotype of a network."""
        return self.path / "checkpoints" / f"{role}.json"

    def genotype_files(self, role: Role) -> list[Path]:
        """The genotypes that a search found for a network, one for each epoch, in order."""
        found = (self.genotypes / role).glob("epoch_*.json")
        return sorted(found, key=lambda path: (len(path.name), path))

    def refuse_run(self) -> None:
        """Make sure that a new run may begin here.

        Raises:
            RunError: there is a run already, or the path is no folder.
        """
        if self.settings_file.exists():
            path = shlex.quote(str(self.path))
            raise RunError(
                f"{self.path} already holds a run: go on with it by --run-dir {path} --resume, or "
                "choose another --run-dir."
            )
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file: choose a folder for --run-dir.")

    def begin(self, kind: str, settings: msgspec.Struct) -> None:
        """Make the folder of a new run and write its first record and its settings.

        The settings come last: a folder without them holds no run.

        Raises:
            RunError: the folder holds a run already, or cannot be written.
        """
        self.refuse_run()
        self._write_record(
            {"kind": kind, "command": shlex.join(sys.argv), "created": now(), **environment()}
        )
        self.write_settings(settings)

    @classmethod
    def open(cls, path: Path, kind: str) -> RunFolder:
        """The folder of an existing run of one kind, ``search`` or ``retrain``.

        Raises:
            RunError: there is no run, or one of another kind.
        """
        folder = cls(path)
        if not folder.record_file.is_file() or not folder.settings_file.is_file():
            raise RunError(f"{path} is not a run's folder: it has no run.json and settings.toml.")
        found = folder.read_record().get("kind")
        if found != kind:
            raise RunError(f"{path} holds a run of nas-{found}; one of nas-{kind} was expected.")
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder for this process; what a killed one left half-written is removed.

        Raises:
            RunError: another process is training in the folder.
        """
        path = self.path / ".lock"
        try:
            stream = path.open("a")
        except OSError as error:
            raise unwritable(path, error) from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(
                    f"Another process is training in {self.path}: wait for it, or stop it."
                ) from error
            for unfinished in self.path.glob(f"**/.*{UNFINISHED}"):
                unfinished.unlink(missing_ok=True)
            yield

    def write_settings(self, settings: msgspec.Struct) -> None:
        """Write settings as TOML; what is None is left out."""
        with atomic_write(self.settings_file) as stream:
            tomli_w.dump(without_none(msgspec.to_builtins(settings, enc_hook=str)), stream)

    def read_settings(self, kind: type[Settings]) -> Settings:
        """The settings that the run was started with.

        Raises:
            RunError: settings.toml is damaged.
        """
        try:
            return read_settings(self.settings_file, kind)
        except UsageError as error:
            raise RunError(f"The settings of the run are damaged. {error}") from error

    def record(self, **entries: Any) -> None:
        """Add entries to run.json."""
        self._write_record(self.read_record() | entries)

    def _write_record(self, entries: dict[str, Any]) -> None:
        with atomic_write(self.record_file) as stream:
            stream.write(json.dumps(entries, indent=2, default=str).encode())

    def read_record(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            return msgspec.json.decode(self.record_file.read_bytes(), type=dict[str, Any])
        except (OSError, ValueError) as error:
            raise RunError(f"{self.record_file} cannot be read: {error}.") from error

    def add_note(self, sentence: str) -> None:
        """Add a sentence to notes.txt, unless it is there already."""
        path = self.path / "notes.txt"
        try:
            if path.exists() and sentence in path.read_text().splitlines():
                return
            with path.open("a") as stream:
                stream.write(sentence + "\n")
        except OSError as error:
            raise unwritable(path, error) from error

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Add one record to metrics.jsonl."""
        try:
            with self.metrics_file.open("a") as stream:
                stream.write(json.dumps(record) + "\n")
        except OSError as error:
            raise unwritable(self.metrics_file, error) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """All records of metrics.jsonl; a last line cut off by a kill is left out.

        Raises:
            RunError: it cannot be read, or a line is no record.
        """
        if not self.metrics_file.exists():
            return []
        try:
            complete = self.metrics_file.read_bytes().split(b"\n")[:-1]
            return [msgspec.json.decode(line, type=dict[str, Any]) for line in complete if line]
        except (OSError, ValueError) as error:
            raise RunError(f"{self.metrics_file} cannot be read: {error}.") from error

    def forget_metrics_from(self, epoch: int) -> None:
        """Drop the records of an epoch (counted from 1) and later, which will run again."""
        kept = [record for record in self.read_metrics() if record.get("epoch", 0) < epoch]
        with atomic_write(self.metrics_file) as stream:
            stream.write("".join(json.dumps(record) + "\n" for record in kept).encode())

    def save_checkpoint(self, name: str, kind: str, state: dict[str, Any]) -> None:
        """Save tensors and plain values under a name, replacing the file in one step."""
        import torch

        header = {"format": CHECKPOINT_FORMAT, "version": CHECKPOINT_VERSION, "kind": kind}
        content = io.BytesIO()
        torch.save({**header, "state": state}, content)
        with atomic_write(self.checkpoint(name)) as stream:
            stream.write(content.getbuffer())

    def load_checkpoint(self, name: str, kind: str) -> dict[str, Any]:
        """The state saved under a name, on the CPU; loading executes nothing from the file.

        Raises:
            RunError: the file is missing, damaged, or no checkpoint of this kind.
        """
        path = self.checkpoint(name)
        if not path.is_file():
            raise RunError(f"{path} does not exist: the run has not saved this checkpoint yet.")
        return load_checkpoint(path, kind)


class WatchedFolder(RunFolder):
    """The folder of a run that another process writes, which takes the same steps as this one."""

    @property
    def is_written(self) -> bool:
        """It is not."""
        return False

    def begin(self, kind: str, settings: msgspec.Struct) -> None:
        """Leave it to the other process."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Leave it to the other process."""
        yield

    def record(self, **entries: Any) -> None:
        """Leave it to the other process."""

    def add_note(self, sentence: str) -> None:
        """Leave it to the other process."""

    def forget_metrics_from(self, epoch: int) -> None:
        """Leave it to the other process."""

    def save_checkpoint(self, name: str, kind: str, state: dict[str, Any]) -> None:
        """Leave it to the other process."""


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint file with ``weights_only``; see `RunFolder.load_checkpoint`.

    torch does not compare the checksums that it writes, so that is done first.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a checksum is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged bytes raise nearly anything
        raise RunError(
            f"{path} is damaged or is no checkpoint ({_reason(error)}): restore it from a copy, or "
            "start the run again in another folder."
        ) from error
    if not isinstance(content, dict) or content.get("format") != CHECKPOINT_FORMAT:
        raise RunError(f"{path} is not a checkpoint of this toolkit.")
    found = content.get("kind"), content.get("version")
    if found != (kind, CHECKPOINT_VERSION) or not isinstance(content.get("state"), dict):
        raise RunError(
            f"{path} is a checkpoint of kind {found[0]}, version {found[1]}; {kind}, version "
            f"{CHECKPOINT_VERSION} was expected."
        )
    state: dict[str, Any] = content["state"]
    return state


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return "it holds other things than tensors and plain values"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120].rstrip(".")


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """Settings from a run's settings.toml; every name and type is checked.

    Raises:
        UsageError: the file cannot be read, or holds a name or value that is not expected.
    """
    return to_settings(read_toml(path), kind, path)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UsageError: it cannot be read or is no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"Cannot read the settings {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}.") from error


def to_settings(value: Any, kind: type[Settings], origin: Path) -> Settings:
    """Plain values from ``origin`` as settings, every name, type and range checked.

    Raises:
        UsageError: a name or value is not expected; the message says where.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        raise UsageError(f"{origin}: {error}; see --help for what is expected.") from error


def decode_path(kind: type, value: object) -> object:
    """What msgspec does not know how to read in settings: paths, from words."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no settings of type {kind}")


def without_none(tree: Any) -> Any:
    """The same nested mappings without entries that are None."""
    if isinstance(tree, dict):
        return {key: without_none(value) for key, value in tree.items() if value is not None}
    return tree


def new_run_path(kind: str, dataset: str, backbone: str) -> Path:
    """A folder under runs/ that does not exist yet, named by time, kind, data and network."""
    network = Path(backbone.partition("?")[0]).name.replace(":", "-")
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{kind}-{dataset}-{network}"
    candidates = (
        Path("runs") / (stem if attempt == 0 else f"{stem}-{attempt}") for attempt in range(1000)
    )
    return next(path for path in candidates if not path.exists())


def now() -> str:
    """The present time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of this toolkit, Python and the libraries that numbers depend on."""
    packages = {name: metadata.version(name) for name in RECORDED_PACKAGES}
    return {"discriminator-nas": __version__, "python": platform.python_version(), **packages}


def environment() -> dict[str, Any]:
    """What numbers may depend on: versions of libraries, system and cores."""
    return {
        "versions": versions(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }
