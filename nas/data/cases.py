"""A case (one image with its mask) and the face of everything that reads cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np

Subset = Literal["train", "val", "test"]

CHEST_CLASSES = ("background", "heart", "left lung", "right lung")
"""Classes of every chest layout; left and right are the patient's."""


@dataclass(frozen=True)
class Case:
    """Where the image and the mask of one case are kept.

    ``image`` and ``mask`` mean something to the reader only: a file, several files, or the
    number of a generated case. ``group`` is what a split never divides (a patient, an animal,
    a sequence), None where every case stands for itself.
    """

    id: str
    image: Path | int
    mask: Path | tuple[Path, ...] | int
    group: str | None = None


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
        """(H, W) uint8 class indices, of the same height and width as the image.

        Raises:
            DataError: the file is missing, damaged, or holds unknown values; it names the file.
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
