"""Masks whose few values are greys: black and white above all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.cases import Case
from nas.data.images import open_picture
from nas.data.layouts.layout import LayoutReader, the_file
from nas.data.value_maps import shown
from nas.errors import DataError

BLACK, WHITE = 0, 255


def open_greys(path: Path, expected: Collection[int]) -> np.ndarray:
    """A mask as the greys that a viewer shows, whatever kind of file it is.

    1 bit (0 and 255), 2 and 4 bits (spread over 0 to 255), 8 bits, a palette (which is looked
    up) and colours (as luma) are all read.

    Args:
        path: of the file.
        expected: the greys that it may hold.

    Returns:
        (H, W) uint8.

    Raises:
        DataError: the file is missing or damaged, holds several pictures, or other values; it
            says which.
    """
    with open_picture(path) as picture:
        frames = getattr(picture, "n_frames", 1)
        if frames > 1:
            raise DataError(f"{path} holds {frames} pictures; a mask is one.")
        if picture.mode.startswith(("I", "F")):
            stored = np.asarray(picture)
            found = np.unique(stored).tolist()
        else:
            grey = picture.convert("L")
            stored = np.asarray(grey)
            found = [value for value, count in enumerate(grey.histogram()) if count]
    unexpected = [value for value in found if value not in expected]
    if unexpected:
        raise DataError(
            f"{path} holds the values {shown(found)}; expected {shown(expected)} alone: it is no "
            "mask as its owner hands it out, copy or unpack it again."
        )
    return stored.astype(np.uint8)


def open_binary(path: Path) -> np.ndarray:
    """A black and white mask as (H, W) bool, True where it is white.

    Raises:
        DataError: as of :func:`open_greys`, which holds what is read too.
    """
    return open_greys(path, (BLACK, WHITE)) == WHITE


@dataclass(frozen=True, kw_only=True)
class BinaryReader(LayoutReader):
    """Cases whose mask, and field of view where there is one, is one black and white file.

    Attributes:
        classes: names of black and white.
    """

    classes: tuple[str, str]

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8, 1 where the mask is white."""
        return open_binary(the_file(case.mask)).astype(np.uint8)

    def read_field_of_view(self, case: Case) -> np.ndarray | None:
        """(H, W) bool, where the case has a field of view."""
        if case.field_of_view is None:
            return None
        return open_binary(the_file(case.field_of_view))
