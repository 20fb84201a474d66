"""What a prediction is compared with: the labels that count, and the objects among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nas.data.batches import resize_numbers
from nas.data.cases import UNKNOWN, Case, Reader
from nas.data.delegating import DelegatingReader
from nas.errors import DataError


class GroundTruth(NamedTuple):
    """The truth of one case.

    Attributes:
        labels: (H, W) uint8 class indices, `UNKNOWN` where nothing counts: where the class is not
            known, and outside the field of view.
        objects: (H, W) integers, 0 outside of objects and a number of its own for each; None where
            objects are not told apart.
    """

    labels: np.ndarray
    objects: np.ndarray | None

    @property
    def counts(self) -> np.ndarray:
        """(H, W) bool, the pixels that count in a score."""
        return self.labels != UNKNOWN

    def at(self, size: tuple[int, int]) -> GroundTruth:
        """At another (height, width): of each pixel, what is at its centre."""
        objects = None if self.objects is None else resize_numbers(self.objects, size)
        return GroundTruth(resize_numbers(self.labels, size), objects)


def truth_of(reader: Reader, case: Case) -> GroundTruth:
    """The truth of a case at its stored size.

    Raises:
        DataError: a file is missing or damaged, or mask, field of view and objects differ in size.
    """
    labels = counted_labels(reader, case)
    objects = reader.read_instances(case)
    if objects is not None:
        check_sizes(case, "mask", labels.shape, "objects", objects.shape)
    return GroundTruth(labels, objects)


def counted_labels(reader: Reader, case: Case) -> np.ndarray:
    """(H, W) uint8 class indices at stored size, `UNKNOWN` also outside the field of view.

    Raises:
        DataError: a file is missing or damaged, or mask and field of view differ in size.
    """
    labels = reader.read_mask(case)
    view = reader.read_field_of_view(case)
    if view is None:
        return labels
    check_sizes(case, "mask", labels.shape, "field of view", view.shape)
    return np.where(view, labels, np.uint8(UNKNOWN))


def check_sizes(
    case: Case, name: str, size: tuple[int, ...], other: str, other_size: tuple[int, ...]
) -> None:
    """Refuse two parts of a case of different sizes.

    Raises:
        DataError: names both, with their sizes.
    """
    if size != other_size:
        (height, width), (other_height, other_width) = size, other_size
        raise DataError(
            f"The {name} of {case.id} is {height}x{width} and its {other} "
            f"{other_height}x{other_width} (height x width): both need one size."
        )


@dataclass(frozen=True)
class ScoredReader(DelegatingReader):
    """The cases of a reader for scores: what does not count is `UNKNOWN` in their masks."""

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices, `UNKNOWN` also outside the field of view."""
        return counted_labels(self.reader, case)
