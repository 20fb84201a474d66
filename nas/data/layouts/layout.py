"""What the readers of files have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.cases import Case, Source, Subset
from nas.data.images import open_image, open_mask, read_header
from nas.errors import DataError
from nas.settings import DataSettings

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z")


@dataclass(frozen=True, kw_only=True)
class LayoutReader(ABC):
    """Cases of a layout of files, as `nas.data.cases.Reader` wants them.

    A layout adds its ``classes`` and `read_mask`, and overrides what it keeps in a way of its own:
    by default an image is one file, objects are a file of numbers, and a field of view is a file
    that is 0 outside.

    Attributes:
        name: of the layout.
        channels: of every image that is read, 1 or 3 unless the layout says more.
        cases: in natural order of their ids.
        problems: sentences that say what has to be mended.
        notes: sentences worth knowing.
        lists: ids of a split that came with the data.
        white: stored value that becomes 1.0; None for the largest of the file's depth.
    """

    name: str
    channels: int
    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lists: Mapping[Subset, tuple[str, ...]] | None = None
    white: float | None = None

    @abstractmethod
    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1]."""
        return open_image(the_file(case.image), self.channels, self.white)

    def read_instances(self, case: Case) -> np.ndarray | None:
        """(H, W) int32 numbers of objects, where the case has them."""
        if case.instances is None:
            return None
        return open_mask(the_file(case.instances)).astype(np.int32)

    def read_field_of_view(self, case: Case) -> np.ndarray | None:
        """(H, W) bool, where the case has a field of view."""
        if case.field_of_view is None:
            return None
        return open_mask(the_file(case.field_of_view)) > 0

    def describe(self, case: Case) -> str:
        """How the image is stored, such as ``8-bit grey``."""
        return str(read_header(the_file(case.image)))


def the_file(source: Source | None) -> Path:
    """The source, which is one file."""
    assert isinstance(source, Path)
    return source


def the_files(source: Source | None) -> tuple[Path, ...]:
    """The source, which is several files."""
    assert isinstance(source, tuple)
    return tuple(path for path in source if isinstance(path, Path))


def root_of(settings: DataSettings, expected: str) -> Path:
    """The folder of the data.

    Args:
        settings: of the data.
        expected: what it should hold and who hands it out, as the end of a sentence.

    Raises:
        DataError: no folder is named, there is none, or it is an archive; says what is expected.
    """
    root = settings.data_root
    option = f"--dataset {settings.dataset} needs --data-root DIR"
    if root is None:
        raise DataError(f"{option}: {expected}.")
    if root.is_file():
        kind = "an archive: unpack it" if root.suffix.lower() in ARCHIVES else "a file"
        raise DataError(f"{option}, a folder, and {root} is {kind}: {expected}.")
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; {option}: {expected}.")
    return root


def nothing_found(root: Path, what: str, expected: str) -> DataError:
    """The error for a folder that holds no data of a layout, with a hint at archives in it."""
    archives = archives_in(root)
    hint = (
        f" {root} holds {archives[0].name}{' and others' if len(archives) > 1 else ''}, which is "
        "an archive: unpack it there."
        if archives
        else ""
    )
    return DataError(f"{root} holds no {what}: {expected}.{hint}")


def archives_in(root: Path) -> list[Path]:
    """The packed files directly in a folder, in order; NIfTI's .nii.gz are none."""
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in ARCHIVES and not path.name.lower().endswith(".nii.gz")
    )
