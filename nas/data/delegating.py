"""Readers that change something about what another one reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nas.data.cases import Case, Reader, Subset


@dataclass(frozen=True)
class DelegatingReader:
    """The cases of another reader, as they are; a subclass changes a part of them.

    Attributes:
        reader: that everything is taken from.
    """

    reader: Reader

    @property
    def name(self) -> str:
        """Name of the layout."""
        return self.reader.name

    @property
    def channels(self) -> int:
        """Channels of every image that is read."""
        return self.reader.channels

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases that fit, in natural order of their ids."""
        return self.reader.cases

    @property
    def lists(self) -> Mapping[Subset, tuple[str, ...]] | None:
        """Case ids of a split that came with the data, or None."""
        return self.reader.lists

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences that say what is wrong with the layout."""
        return self.reader.problems

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences worth knowing."""
        return self.reader.notes

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first."""
        return self.reader.classes

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1] at stored size."""
        return self.reader.read_image(case)

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices, `UNKNOWN` where the class is not known."""
        return self.reader.read_mask(case)

    def read_instances(self, case: Case) -> np.ndarray | None:
        """(H, W) int32 numbers of objects; None where objects are not told apart."""
        return self.reader.read_instances(case)

    def read_field_of_view(self, case: Case) -> np.ndarray | None:
        """(H, W) bool, the pixels that count in a score; None where all do."""
        return self.reader.read_field_of_view(case)

    def describe(self, case: Case) -> str:
        """How the image is stored."""
        return self.reader.describe(case)
