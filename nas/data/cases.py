"""A case (one image with its mask) and the face of everything that reads cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Subset = Literal["train", "val", "test"]

CHEST_CLASSES = ("background", "heart", "left lung", "right lung")
"""Classes of every chest layout; left and right are the patient's."""


UNKNOWN = 255
"""Label of a pixel whose class nobody has said: no loss, no discriminator and no score sees it."""


class Slice(NamedTuple):
    """One slice of a volume: the file, and the number of the slice along the axis of the reader."""

    path: Path
    number: int


Source: TypeAlias = "Path | int | Slice | tuple[Path, ...] | tuple[Slice, ...]"
"""Where something is kept, in a form that its reader understands: a file, a slice of a volume,
several of either, or the number of a generated case."""


@dataclass(frozen=True)
class Case:
    """Where the image and the mask of one case are kept, and what else is known of it.

    Attributes:
        id: unlike that of any other case of the data.
        image: of the image.
        mask: of the mask.
        group: what a split never divides (a patient, an animal, a sequence); None where every case
            stands for itself.
        stratum: what every part of a stratified split should have its share of (a grade, a
            diagnosis); None where it is not known.
        instances: of the numbered objects; None where objects are not told apart.
        field_of_view: of the pixels that count in a score; None where all do.
    """

    id: str
    image: Source
    mask: Source
    group: str | None = None
    stratum: str | None = None
    instances: Source | None = None
    field_of_view: Source | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the case, each once."""
        sources = (self.image, self.mask, self.instances, self.field_of_view)
        return tuple(dict.fromkeys(path for source in sources for path in _files_of(source)))


def _files_of(source: Source | None) -> Iterator[Path]:
    if isinstance(source, Path):
        yield source
    elif isinstance(source, Slice):
        yield source.path
    elif isinstance(source, tuple):
        for part in source:
            yield from _files_of(part)


class Reader(Protocol):
    """What every layout of data offers."""

    @property
    def name(self) -> str:
        """Name of the layout."""
        ...

    @property
    def channels(self) -> int:
        """Channels of every image that is read."""
        ...

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases that fit, in natural order of their ids."""
        ...

    @property
    def lists(self) -> Mapping[Subset, tuple[str, ...]] | None:
        """Case ids of a split that came with the data, or None."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences that say what is wrong with the layout: an image without a mask, say."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences worth knowing: how the files are read (depth, orientation, what a value means),
        and what of them is left out."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first.

        Raises:
            DataError: the masks hold other values than expected.
        """
        ...

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1] at stored size.

        Raises:
            DataError: the file is missing, damaged, or of another kind; it names the file.
        """
        ...

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices, `UNKNOWN` where the class is not known, of the image's size.

        Raises:
            DataError: the file is missing, damaged, or holds unexpected values; it names the file.
        """
        ...

    def read_instances(self, case: Case) -> np.ndarray | None:
        """(H, W) int32, 0 outside of objects and a number of its own for each; None where objects
        are not told apart.

        Raises:
            DataError: the file is missing or damaged; it names the file.
        """
        ...

    def read_field_of_view(self, case: Case) -> np.ndarray | None:
        """(H, W) bool, the pixels that count in a score; None where all do.

        Raises:
            DataError: the file is missing or damaged; it names the file.
        """
        ...

    def describe(self, case: Case) -> str:
        """How the image is stored, such as ``8-bit grey``, from its header alone.

        Raises:
            DataError: the file is missing or is no image; it names the file.
        """
        ...


def natural_key(text: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Key that sorts ``case2`` before ``case10``; ties of value fall back to the text."""
    parts = [part for part in re.split(r"(\d+)", text) if part]
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts), text


def natural_order(ids: Iterable[str]) -> tuple[str, ...]:
    """The ids sorted by :func:`natural_key`."""
    return tuple(sorted(ids, key=natural_key))
