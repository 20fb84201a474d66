"""Verification of data before anything trains on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from nas.data.cases import Case, Reader
from nas.data.findings import Findings, Seen
from nas.data.near_duplicates import NearDuplicate, grouped
from nas.data.preprocessing import preprocessed
from nas.data.readers import survey
from nas.data.sizes import parse_size
from nas.data.splits import SUBSETS, USERS_LISTS, Split, divided_by, make_split
from nas.data.unlabelled import files_of, put_aside, read_file, refuse_held_out
from nas.errors import DataError
from nas.settings import DataSettings

NAMED = 6
"""Cases of one group that a sentence names."""
ALONE = (
    "remove all but one, or make them one group by --groups, a CSV of the columns file,group that "
    "nas-data check --write-groups FILE writes"
)


class Objects(msgspec.Struct, frozen=True, kw_only=True):
    """The numbered objects of the data; sizes are in pixels.

    Attributes:
        cases: that tell objects apart.
        count: of all objects.
        smallest: size of the smallest.
        median: size of half of them is this or less.
        without: cases that tell objects apart and have none.
    """

    cases: int
    count: int
    smallest: int
    median: float
    without: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; ``problems`` must be mended, ``notes`` are worth knowing.

    Attributes:
        dataset: the layout.
        cases: how many.
        classes: their names; empty where the masks cannot be understood.
        sizes: images by "HEIGHTxWIDTH".
        kinds: images by depth and colour.
        shares: of all pixels, per class (empty where no mask could be read).
        unknown: share of the pixels whose class nobody has said; with ``shares`` it sums to 1.
        without_foreground: cases whose mask holds background only.
        duplicates: groups of cases whose images are equal to the last bit.
        near_duplicates: groups of cases with images that are nearly the same, as
            `nas.data.near_duplicates` defines it; equal ones stand in them too where a further
            image is nearly the same.
        objects: numbered in the images; None where none are told apart.
        field_of_view: mean share of the image, over the cases that have one; None without.
        groups: how many.
        split: images of each subset (empty where no split can be made).
        split_shares: as ``shares``, of each subset that has masks.
        problems: sentences.
        notes: sentences.
    """

    dataset: str
    cases: int
    classes: tuple[str, ...] = ()
    sizes: dict[str, int] = {}
    kinds: dict[str, int] = {}
    shares: tuple[float, ...] = ()
    unknown: float = 0.0
    without_foreground: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    near_duplicates: tuple[tuple[str, ...], ...] = ()
    objects: Objects | None = None
    field_of_view: float | None = None
    groups: int = 0
    split: dict[str, int] = {}
    split_shares: dict[str, tuple[float, ...]] = {}
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether training can start."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """Whether training can start, as a sentence."""
        if self.ok:
            return "Ready to train on."
        count = len(self.problems)
        return f"Not ready to train on: {count} {'problem' if count == 1 else 'problems'} to mend."


class Examined(NamedTuple):
    """What was found, the split (None where none can be made), and the cases."""

    report: Report
    split: Split | None = None
    cases: tuple[Case, ...] = ()


def check(settings: DataSettings, progress: Callable[[int, int], None] | None = None) -> Report:
    """Decode every file and make the split, as training would, and list all that is wrong.

    Args:
        settings: the data.
        progress: called with (cases decoded, cases in all) after each case.

    Raises:
        UsageError: the settings are wrong, whatever the data.
    """
    return examine(settings, progress).report


def examine(
    settings: DataSettings,
    progress: Callable[[int, int], None] | None = None,
    look: Callable[[Seen], None] | None = None,
) -> Examined:
    """As `check`, for who wants to see the cases too.

    Args:
        settings: the data.
        progress: called with (cases decoded, cases in all) after each case.
        look: called with each case as it was decoded.

    Raises:
        UsageError: the settings are wrong, whatever the data.
    """
    parse_size(settings.image_size)
    try:
        reader = preprocessed(survey(settings), settings)
    except DataError as error:
        return Examined(Report(dataset=settings.dataset, cases=0, problems=(str(error),)))
    classes, problems = _classes(reader)
    split, split_problems = _split(reader, settings)
    findings = Findings(classes)
    for number, case in enumerate(reader.cases, start=1):
        seen = findings.add(reader, case)
        if look is not None:
            look(seen)
        if progress is not None:
            progress(number, len(reader.cases))
    near = _near(findings.fingerprints.pairs(), findings.duplicates)
    missing, absent = _missing_classes(findings, split)
    across, within = _near_places(near, split, _owners_split(reader, settings))
    problems += [*findings.problems, *findings.without_objects, *split_problems, *missing]
    problems += [*_leaks(findings.duplicates, split), *across]
    problems += _unlabelled(settings, reader, split)
    notes = [*reader.notes, *_notes(findings), *absent, *within]
    notes += divided_by(split, reader.cases) if split else ()
    report = Report(
        dataset=settings.dataset,
        cases=len(reader.cases),
        classes=classes,
        sizes=dict(findings.sizes),
        kinds=dict(findings.kinds),
        shares=findings.shares(),
        unknown=findings.unknown_share,
        without_foreground=tuple(findings.without_foreground),
        duplicates=findings.duplicates,
        near_duplicates=near,
        objects=_objects(findings),
        field_of_view=float(np.mean([*findings.views.values()])) if findings.views else None,
        groups=len({case.group for case in reader.cases} - {None}),
        split={subset: len(split.subset(subset)) for subset in SUBSETS} if split else {},
        split_shares=_split_shares(findings, split),
        problems=tuple(dict.fromkeys((*reader.problems, *problems))),
        notes=tuple(dict.fromkeys(notes)),
    )
    return Examined(report, split, reader.cases)


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


def _unlabelled(settings: DataSettings, reader: Reader, split: Split | None) -> list[str]:
    """What is wrong with the images that are to be used without masks."""
    problems = []
    try:
        files = files_of(settings.unlabelled) if settings.unlabelled else ()
        if split is not None:
            put_aside(split.train, settings)
            refuse_held_out(files, split, reader.cases)
    except DataError as error:
        return [str(error)]
    for path in files:
        try:
            read_file(path, reader.channels, settings)
        except DataError as error:
            problems.append(str(error))
    return problems


def _owners_split(reader: Reader, settings: DataSettings) -> bool:
    """Whether the split came with the data, from those who hand it out."""
    return settings.split is None and reader.lists is not None and reader.name not in USERS_LISTS


def _places(split: Split | None) -> dict[str, str]:
    """The subset of each case."""
    if split is None:
        return {}
    return {case: subset for subset in SUBSETS for case in split.subset(subset)}


def _leaks(duplicates: Sequence[tuple[str, ...]], split: Split | None) -> list[str]:
    """Equal images that the split has put into different subsets."""
    place = _places(split)
    problems = []
    for ids in duplicates:
        subsets = sorted({place[case] for case in ids if case in place})
        if len(subsets) > 1:
            problems.append(
                f"The images of {_listed(ids)} are equal, and the split puts them into "
                f"{' and '.join(subsets)}: {ALONE}."
            )
    return problems


def _near(
    pairs: Sequence[NearDuplicate], duplicates: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    """Groups of nearly the same images, with those that are equal to one of them."""
    near = {case for pair in pairs for case in (pair.first, pair.second)}
    equal = [(ids[0], other) for ids in duplicates if ids[0] in near for other in ids[1:]]
    return grouped([*((pair.first, pair.second) for pair in pairs), *equal])


def _near_places(
    groups: Sequence[tuple[str, ...]], split: Split | None, owners: bool
) -> tuple[list[str], list[str]]:
    """Problems and notes on images that are nearly the same: across subsets, and within one.

    What the owners of the data divide is no mistake of the user, and told in a note.
    """
    place = _places(split)
    across = [ids for ids in groups if len({place[case] for case in ids if case in place}) > 1]
    within = [ids for ids in groups if ids not in across]
    problems, notes = [], []
    if across and owners:
        notes.append(
            f"The split that came with the data divides {_groups(len(across))} of images that are "
            f"nearly the same, such as {_placed(across[0], place)}: scores may come out better "
            "than on images that were never seen."
        )
    elif across:
        problems += [
            f"The images of {_placed(ids, place)} are nearly the same, and the split divides them: "
            f"{ALONE}."
            for ids in across
        ]
    if within:
        where = " within one subset" if place else ""
        notes.append(
            f"{_groups(len(within))} of images are nearly the same{where}, such as "
            f"{_listed(within[0])}: they show less than as many different ones."
        )
    return problems, notes


def _groups(count: int) -> str:
    return f"{count} {'group' if count == 1 else 'groups'}"


def _placed(ids: Sequence[str], place: dict[str, str]) -> str:
    return _listed([f"{case} ({place[case]})" if case in place else case for case in ids])


def _listed(ids: Sequence[str]) -> str:
    more = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _split_shares(findings: Findings, split: Split | None) -> dict[str, tuple[float, ...]]:
    if split is None:
        return {}
    shares = {subset: findings.shares(split.subset(subset)) for subset in SUBSETS}
    return {subset: each for subset, each in shares.items() if each}


def _missing_classes(findings: Findings, split: Split | None) -> tuple[list[str], list[str]]:
    """Problems and notes on classes that are in no mask, or in none of a subset."""
    problems, notes = [], []
    overall, shares = findings.shares(), _split_shares(findings, split)
    for index, name in enumerate(findings.classes[: len(overall)]):
        if overall[index] == 0:
            problems.append(
                f"{_class(name)} occurs in no mask, so nothing can learn it: leave it out, or add "
                "images that have it."
            )
            continue
        lacking = [subset for subset, each in shares.items() if each[index] == 0]
        if "train" in lacking:
            problems.append(
                f"{_class(name)} occurs in no training mask and cannot be learnt: choose another "
                "split (--split, --split-seed), or more training images."
            )
        notes += [
            f"{_class(name)} occurs in no mask of {subset}: it has no score there."
            for subset in lacking
            if subset != "train"
        ]
    return problems, notes


def _class(name: str) -> str:
    """The name as the beginning of a sentence; classes without names are called class 1, ..."""
    return f"The {name}" if name.startswith("class ") else f"The class {name}"


def _objects(findings: Findings) -> Objects | None:
    if not findings.objects:
        return None
    sizes = np.concatenate([*findings.objects.values()])
    return Objects(
        cases=len(findings.objects),
        count=len(sizes),
        smallest=int(sizes.min()) if len(sizes) else 0,
        median=float(np.median(sizes)) if len(sizes) else 0.0,
        without=sum(len(each) == 0 for each in findings.objects.values()),
    )


def _notes(findings: Findings) -> list[str]:
    notes = []
    masks = len(findings.pixels)
    if findings.without_foreground:
        count = len(findings.without_foreground)
        notes.append(
            f"{count} of {masks} masks hold background only, such as "
            f"{findings.without_foreground[0]}."
        )
    unsaid = [case for case, count in findings.unknown.items() if count]
    if unsaid:
        notes.append(
            f"The class of {100 * findings.unknown_share:.2f} % of the pixels is unknown, in "
            f"{len(unsaid)} of {masks} masks, such as {unsaid[0]}: they count in no loss and no "
            "score."
        )
    if findings.duplicates:
        notes.append(
            f"{_groups(len(findings.duplicates))} of images are equal to the last bit, such as "
            f"{_listed(findings.duplicates[0])}."
        )
    if len(findings.kinds) > 1:
        kinds = ", ".join(f"{count} {kind}" for kind, count in findings.kinds.items())
        notes.append(f"The images are stored in several ways: {kinds}.")
    if findings.kinds["16-bit RGB"]:
        notes.append("16-bit RGB images are read to 8 bits for each colour.")
    return notes
