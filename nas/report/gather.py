"""What a run's folder says, read for a report: nothing is computed, and nothing needs torch.

A file that may be missing is None or empty here; one that is there and damaged is an error.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import msgspec

from nas.errors import RunError
from nas.runs import RunFolder
from search_spaces import genotypes
from search_spaces.description import GenotypeError, Role
from search_spaces.genotypes import Genotype

SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class EvaluationFiles:
    """The files of an evaluation.

    Attributes:
        name: of its folder, such as ``test`` or ``test_stored``.
        path: its folder.
        scores: content of scores.json.
        cases: rows of cases.csv by column.
        areas: content of areas.json; None without one.
    """

    name: str
    path: Path
    scores: dict[str, Any]
    cases: list[dict[str, str]]
    areas: dict[str, Any] | None

    @property
    def subset(self) -> str:
        """Which subset of the split was scored."""
        return self.name.removesuffix("_stored")

    @property
    def at(self) -> str:
        """``network`` or ``stored``, the size at which masks were compared."""
        return "stored" if self.name.endswith("_stored") else "network"

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.subset} images" + (" at stored size" if self.at == "stored" else "")


@dataclass(frozen=True)
class Run:
    """A run's folder as a report sees it."""

    folder: RunFolder

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @cached_property
    def record(self) -> dict[str, Any]:
        """Content of run.json."""
        return self.folder.read_record()

    @property
    def kind(self) -> str:
        """``search`` or ``retrain``."""
        return str(self.record.get("kind"))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Content of settings.toml, its tables by name.

        Raises:
            RunError: it is no TOML.
        """
        try:
            return tomllib.loads(_text(self.folder.settings_file))
        except tomllib.TOMLDecodeError as error:
            raise RunError(f"{self.folder.settings_file} is not a TOML file: {error}.") from error

    def setting(self, table: str, name: str) -> Any:
        """A setting; None where the run has no such one."""
        return self.settings.get(table, {}).get(name)

    @cached_property
    def split(self) -> dict[str, Any] | None:
        """Content of split.json; None where the run ended before it was made."""
        return read_json(self.folder.split_file)

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Records of the epochs."""
        return self.folder.read_metrics()

    @property
    def planned_epochs(self) -> int | None:
        """How many epochs the settings ask for."""
        epochs = self.setting("training", "epochs")
        return epochs if isinstance(epochs, int) else None

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return int(self.records[-1].get("epoch", len(self.records))) if self.records else 0

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return "finished" in self.record

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first; empty where the data was never read."""
        return tuple(map(str, self.record.get("data", {}).get("classes", ())))

    @cached_property
    def notes(self) -> list[str]:
        """The sentences of notes.txt."""
        path = self.path / "notes.txt"
        return [line for line in _text(path).splitlines() if line] if path.is_file() else []

    @cached_property
    def evaluations(self) -> list[EvaluationFiles]:
        """Those with a scores.json, test images first."""
        found = sorted((self.path / "evaluation").glob("*/scores.json"))
        order = {"test": 0, "val": 1, "train": 2}
        read = [read_evaluation(path.parent) for path in found]
        return sorted(read, key=lambda each: (order.get(each.subset, 3), each.at))

    def own_genotypes(self) -> dict[str, Genotype]:
        """Of a retraining the genotypes that it was made with, by role."""
        paths = {role: self.folder.own_genotype(role) for role in get_args(Role)}
        return {role: read_genotype(path) for role, path in paths.items() if path.is_file()}

    def searched(self) -> dict[str, list[tuple[int, Genotype]]]:
        """Of a search (epoch, genotype) after each epoch, by role; only roles that were searched.

        The epoch is that of the file's name, counted from 1.
        """
        files = {role: self.folder.genotype_files(role) for role in get_args(Role)}
        return {
            role: [(_epoch_of(path), read_genotype(path)) for path in paths]
            for role, paths in files.items()
            if paths
        }

    def last_picture(self, name: str) -> Path | None:
        """The latest picture of a kind that the run drew; None without any."""
        found = sorted(self.folder.pictures.glob(f"{name}_[0-9]*.png"))
        return found[-1] if found else None


def read_evaluation(path: Path) -> EvaluationFiles:
    """The files of one evaluation.

    Raises:
        RunError: scores.json or cases.csv cannot be read.
    """
    scores = read_json(path / "scores.json")
    if scores is None:
        raise RunError(f"{path} holds no evaluation: it has no scores.json.")
    return EvaluationFiles(
        name=path.name,
        path=path,
        scores=scores,
        cases=_rows(path / "cases.csv"),
        areas=read_json(path / "areas.json"),
    )


def open_run(path: Path) -> Run:
    """The run of a folder, of any kind.

    Raises:
        RunError: the folder holds no run.
    """
    folder = RunFolder(path)
    kind = folder.read_record().get("kind") if folder.record_file.is_file() else None
    return Run(RunFolder.open(path, str(kind)))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no file.

    Raises:
        RunError: the file holds something else.
    """
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error


def read_genotype(path: Path) -> Genotype:
    """A genotype file.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return genotypes.read(path)
    except (OSError, GenotypeError) as error:
        raise RunError(f"The genotype {path} cannot be read: {error}.") from error


def _epoch_of(path: Path) -> int:
    return int(path.stem.removeprefix("epoch_"))


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    return list(csv.DictReader(io.StringIO(_text(path), newline="")))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error


def number_of(row: dict[str, str], column: str) -> float | None:
    """A number of a table of cases; None where it is empty or missing.

    Raises:
        RunError: it is no number.
    """
    text = row.get(column) or ""
    try:
        return float(text) if text else None
    except ValueError as error:
        raise RunError(f"cases.csv has {text!r} in the column {column}, not a number.") from error


def defined(values: Sequence[float | None]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if value is not None]
