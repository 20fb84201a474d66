"""Verification of data before anything trains on them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from nas.data.cases import Case, Reader
from nas.data.readers import survey
from nas.data.sizes import parse_size
from nas.data.splits import SUBSETS, Split, make_split
from nas.errors import DataError
from nas.settings import DataSettings


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; ``problems`` must be mended, ``notes`` are worth knowing.

    ``sizes`` and ``kinds`` count images by "HEIGHTxWIDTH" and by depth and colour; ``shares``
    are the shares of all pixels per class (empty where no mask could be read); ``duplicates``
    are groups of cases whose images are equal to the last bit; ``split`` counts the images of
    each subset (empty where no split can be made).
    """

    dataset: str
    cases: int
    classes: tuple[str, ...] = ()
    sizes: dict[str, int] = {}
    kinds: dict[str, int] = {}
    shares: tuple[float, ...] = ()
    without_foreground: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    groups: int = 0
    split: dict[str, int] = {}
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether training can start."""
        return not self.problems


class _Findings:
    """What is gathered case by case."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self.problems: list[str] = []
        self.sizes: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.pixels = np.zeros(len(classes), dtype=np.int64)
        self.without_foreground: list[str] = []
        self.digests: dict[str, list[str]] = defaultdict(list)

    def add(self, reader: Reader, case: Case) -> None:
        """Decode one case; every failure becomes a problem."""
        shape = self._image(reader, case)
        if self.classes:
            self._mask(reader, case, shape)

    def _image(self, reader: Reader, case: Case) -> tuple[int, ...] | None:
        try:
            image = reader.read_image(case)
            self.kinds[reader.describe(case)] += 1
        except DataError as error:
            self.problems.append(str(error))
            return None
        self.sizes[f"{image.shape[1]}x{image.shape[2]}"] += 1
        digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
        self.digests[digest.hexdigest()].append(case.id)
        return image.shape[1:]

    def _mask(self, reader: Reader, case: Case, shape: tuple[int, ...] | None) -> None:
        try:
            mask = reader.read_mask(case)
        except DataError as error:
            self.problems.append(str(error))
            return
        if shape is not None and mask.shape != shape:
            self.problems.append(
                f"The image of {case.id} is {shape[0]}x{shape[1]} and its mask "
                f"{mask.shape[0]}x{mask.shape[1]} (height x width): both need one size."
            )
        self.pixels += np.bincount(mask.ravel(), minlength=len(self.classes))
        if not mask.any():
            self.without_foreground.append(case.id)

    @property
    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Cases with equal images."""
        return tuple(tuple(ids) for ids in self.digests.values() if len(ids) > 1)

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the pixels per class."""
        total = self.pixels.sum()
        return tuple((self.pixels / total).tolist()) if total else ()


def check(settings: DataSettings, progress: Callable[[int, int], None] | None = None) -> Report:
    """Decode every file and make the split, as training would, and list all that is wrong.

    Args:
        settings: the data.
        progress: called with (cases decoded, cases in all) after each case.

    Raises:
        UsageError: the settings are wrong, whatever the data.
    """
    parse_size(settings.image_size)
    try:
        reader = survey(settings)
    except DataError as error:
        return Report(dataset=settings.dataset, cases=0, problems=(str(error),))
    classes, problems = _classes(reader)
    findings = _Findings(classes)
    for number, case in enumerate(reader.cases, start=1):
        findings.add(reader, case)
        if progress is not None:
            progress(number, len(reader.cases))
    split, split_problems = _split(reader, settings)
    leaks = _leaks(findings.duplicates, split) if split else []
    return Report(
        dataset=settings.dataset,
        cases=len(reader.cases),
        classes=classes,
        sizes=dict(findings.sizes),
        kinds=dict(findings.kinds),
        shares=findings.shares,
        without_foreground=tuple(findings.without_foreground),
        duplicates=findings.duplicates,
        groups=len({case.group for case in reader.cases} - {None}),
        split={subset: len(split.subset(subset)) for subset in SUBSETS} if split else {},
        problems=(*reader.problems, *problems, *findings.problems, *split_problems, *leaks),
        notes=_notes(findings, len(reader.cases)),
    )


def _classes(reader: Reader) -> tuple[tuple[str, ...], list[str]]:
    try:
        return reader.classes, []
    except DataError as error:
        return (), [str(error)]


def _split(reader: Reader, settings: DataSettings) -> tuple[Split | None, list[str]]:
    try:
        return make_split(reader, settings), []
    except DataError as error:
        return None, [str(error)]


def _leaks(duplicates: Sequence[tuple[str, ...]], split: Split) -> list[str]:
    """Equal images that the split has put into different subsets."""
    place = {case: subset for subset in SUBSETS for case in split.subset(subset)}
    problems = []
    for ids in duplicates:
        subsets = sorted({place[case] for case in ids if case in place})
        if len(subsets) > 1:
            problems.append(
                f"The images of {', '.join(ids)} are equal, and the split puts them into "
                f"{' and '.join(subsets)}: remove all but one, or name them as one group with "
                "--groups."
            )
    return problems


def _notes(findings: _Findings, cases: int) -> tuple[str, ...]:
    notes = []
    if findings.without_foreground:
        count = len(findings.without_foreground)
        notes.append(
            f"{count} of {cases} masks hold background only, such as "
            f"{findings.without_foreground[0]}."
        )
    if findings.duplicates:
        notes.append(
            f"{len(findings.duplicates)} images occur more than once, such as "
            f"{', '.join(findings.duplicates[0])}."
        )
    if len(findings.kinds) > 1:
        kinds = ", ".join(f"{count} {kind}" for kind, count in findings.kinds.items())
        notes.append(f"The images are stored in several ways: {kinds}.")
    for name, share in zip(findings.classes, findings.shares, strict=False):
        if share == 0:
            notes.append(f"The class {name} occurs in no mask.")
    return tuple(notes)
