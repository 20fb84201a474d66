"""What is found in data when every file is decoded, case by case."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.data.cases import UNKNOWN, Case, Reader
from nas.data.near_duplicates import Fingerprints
from nas.errors import DataError

NAMED = 3
"""Cases that a sentence about many names."""


class Seen(NamedTuple):
    """A case as it was decoded; None where that failed or there is nothing of the kind.

    Attributes:
        case: which.
        image: (C, H, W) float32 in [0, 1].
        mask: (H, W) uint8 classes, with `UNKNOWN`.
        instances: (H, W) int32, 0 outside of objects.
        field_of_view: (H, W) bool.
    """

    case: Case
    image: NDArray[np.float32] | None
    mask: NDArray[np.uint8] | None
    instances: NDArray[np.int32] | None
    field_of_view: NDArray[np.bool_] | None


@dataclass
class Findings:
    """What is gathered case by case.

    Attributes:
        classes: names; empty where the masks cannot be understood, and are not read.
        problems: sentences.
        sizes: images by "HEIGHTxWIDTH".
        kinds: images by depth and colour.
        pixels: of each case whose mask was read, its pixels per class.
        unknown: of each case whose mask was read, its unknown pixels.
        without_foreground: cases.
        objects: of each case whose objects were read, their sizes in pixels.
        views: of each case with a field of view, its share of the image.
        fingerprints: of the images.
        digests: the cases by their images.
    """

    classes: tuple[str, ...]
    problems: list[str] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    pixels: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    without_foreground: list[str] = field(default_factory=list)
    objects: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    views: dict[str, float] = field(default_factory=dict)
    fingerprints: Fingerprints = field(default_factory=Fingerprints)
    digests: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _with_objects: NDArray[np.int64] = field(init=False)
    _without_objects: dict[str, NDArray[np.int64]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._with_objects = np.zeros(len(self.classes), dtype=np.int64)

    def add(self, reader: Reader, case: Case) -> Seen:
        """Decode one case; every failure becomes a problem."""
        image = self._tried(reader.read_image, case)
        if image is not None:
            self._image(reader, case, image)
        mask = self._tried(reader.read_mask, case) if self.classes else None
        instances = self._tried(reader.read_instances, case) if mask is not None else None
        view = self._tried(reader.read_field_of_view, case)
        shape = None if image is None else image.shape[1:]
        for what, plane in (("mask", mask), ("object numbers", instances), ("field of view", view)):
            if plane is not None and shape is not None and plane.shape != shape:
                self.problems.append(_sizes_differ(case.id, what, shape, plane.shape))
        if mask is not None:
            self._mask(case, mask)
        if mask is not None and instances is not None:
            self._instances(case, mask, instances)
        if view is not None:
            self._view(case, view)
        return Seen(case, image, mask, instances, view)

    def _tried(self, read: Callable[[Case], np.ndarray | None], case: Case) -> np.ndarray | None:
        try:
            return read(case)
        except DataError as error:
            self.problems.append(str(error))
            return None

    def _image(self, reader: Reader, case: Case, image: np.ndarray) -> None:
        try:
            self.kinds[reader.describe(case)] += 1
        except DataError as error:
            self.problems.append(str(error))
        self.sizes[f"{image.shape[1]}x{image.shape[2]}"] += 1
        digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        same = self.digests[digest.hexdigest()]
        if not same:
            self.fingerprints.add(case.id, image, case.group)
        same.append(case.id)

    def _mask(self, case: Case, mask: np.ndarray) -> None:
        counts = np.bincount(mask.ravel(), minlength=UNKNOWN + 1)
        known = counts[: len(self.classes)]
        others = np.flatnonzero(counts[len(self.classes) : UNKNOWN]) + len(self.classes)
        if others.size:
            self.problems.append(
                f"The mask of {case.id} has the classes {', '.join(map(str, others))}; there are "
                f"{len(self.classes)} classes, 0 to {len(self.classes) - 1}."
            )
        self.pixels[case.id] = known
        self.unknown[case.id] = int(counts[UNKNOWN])
        if not known[1:].any():
            self.without_foreground.append(case.id)

    def _instances(self, case: Case, mask: np.ndarray, instances: np.ndarray) -> None:
        sizes = np.unique(instances[instances > 0], return_counts=True)[1]
        self.objects[case.id] = sizes
        if instances.shape != mask.shape:
            return
        inside = instances > 0
        outside = int(np.count_nonzero(inside & (mask == 0)))
        if outside:
            self.problems.append(
                f"{outside} pixels of objects of {case.id} are background in its mask: both must "
                "agree, export them again."
            )
        count = len(self.classes)
        self._with_objects += np.bincount(mask[inside], minlength=UNKNOWN + 1)[:count]
        self._without_objects[case.id] = np.bincount(mask[~inside], minlength=UNKNOWN + 1)[:count]

    def _view(self, case: Case, view: np.ndarray) -> None:
        self.views[case.id] = float(view.mean())
        if not view.any():
            self.problems.append(
                f"The field of view of {case.id} is empty: no pixel of it would count in a score. "
                "Export it again, or remove it."
            )

    @property
    def without_objects(self) -> list[str]:
        """Sentences on the classes that have objects, in images where some pixels have none."""
        sentences = []
        for index in range(1, len(self.classes)):
            lacking = {
                case: int(counts[index])
                for case, counts in self._without_objects.items()
                if counts[index]
            }
            if lacking and self._with_objects[index]:
                shown = ", ".join(f"{c} ({n} pixels)" for c, n in list(lacking.items())[:NAMED])
                sentences.append(
                    f"In {len(lacking)} of {len(self._without_objects)} cases pixels of "
                    f"{self.classes[index]} belong to no object: {shown}"
                    f"{', ...' if len(lacking) > NAMED else ''}. Number every object, or take "
                    "what is none out of the mask."
                )
        return sentences

    @property
    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Cases with equal images."""
        return tuple(tuple(ids) for ids in self.digests.values() if len(ids) > 1)

    def shares(self, cases: tuple[str, ...] | None = None) -> tuple[float, ...]:
        """Share of the pixels per class, of all cases or of some; what is missing is unknown.

        Args:
            cases: ids, those without a mask are passed over.
        """
        read = [case for case in (self.pixels if cases is None else cases) if case in self.pixels]
        known = sum((self.pixels[case] for case in read), np.zeros(len(self.classes), np.int64))
        total = int(known.sum()) + sum(self.unknown[case] for case in read)
        return tuple((known / total).tolist()) if total else ()

    @property
    def unknown_share(self) -> float:
        """Share of the pixels whose class nobody has said."""
        unknown = sum(self.unknown.values())
        total = unknown + sum(int(counts.sum()) for counts in self.pixels.values())
        return unknown / total if total else 0.0


def _sizes_differ(id: str, what: str, image: tuple[int, ...], other: tuple[int, ...]) -> str:
    verb = "are" if what.endswith("s") else "is"
    return (
        f"The image of {id} is {image[0]}x{image[1]} and its {what} {verb} {other[0]}x{other[1]} "
        "(height x width): both need one size."
    )
