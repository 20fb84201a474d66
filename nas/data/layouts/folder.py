"""Paired folders: images/ and masks/ whose files have equal stems, and the forms near to it.

Which forms there are says :mod:`nas.data.layouts.paired`; folders of NIfTI volumes are read by
:mod:`nas.data.layouts.volume_folder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nas.data.cases import Case, Subset
from nas.data.dicom import is_dicom
from nas.data.groups import case_id, with_groups
from nas.data.images import IMAGE_SUFFIXES, Header, open_image, open_mask
from nas.data.layouts.layout import LayoutReader, root_of, the_file
from nas.data.layouts.paired import (
    EXPECTED,
    FIELD_OF_VIEW,
    INSTANCES,
    NAMES,
    SUBSETS,
    Pair,
    pairs_in,
    places_in,
)
from nas.data.layouts.same_size import header_of
from nas.data.value_maps import (
    ADVICE,
    check_class_names,
    class_count,
    count_classes,
    parse_value_map,
    to_classes,
)
from nas.errors import DataError, UsageError
from nas.settings import DataSettings


@dataclass(frozen=True, kw_only=True)
class FolderReader(LayoutReader):
    """Cases of paired folders. See :func:`read_folder`."""

    value_map: dict[int, int] | None
    class_names: tuple[str, ...]
    window: tuple[float, float] | None = None

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first.

        Without names and without a value map every mask is read once, and the values found
        must be exactly 0, 1, ..., K - 1.

        Raises:
            DataError: a mask cannot be read, or the values found are others.
        """
        if self.class_names:
            return self.class_names
        count = class_count(self.value_map) if self.value_map else self._count_values()
        return ("background", *(f"class {k}" for k in range(1, count)))

    def _count_values(self) -> int:
        files = (the_file(case.mask) for case in self.cases)
        masks = ((str(path), open_mask(path)) for path in files)
        return count_classes(masks, f"{len(self.cases)} cases", ADVICE)

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1]."""
        return open_image(the_file(case.image), self.channels, self.white, self.window)

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""
        path = the_file(case.mask)
        allowed = self.value_map or {k: k for k in range(len(self.classes))}
        return to_classes(open_mask(path), allowed, str(path), ADVICE)

    def read_instances(self, case: Case) -> np.ndarray | None:
        """(H, W) int32 numbers of objects, where the case has them; all lie in the foreground."""
        numbers = super().read_instances(case)
        if numbers is not None:
            outside = np.count_nonzero((numbers != 0) & (self.read_mask(case) == 0))
            if outside:
                raise DataError(
                    f"{case.instances} has {outside} pixels of objects where the mask {case.mask} "
                    "is background: both must agree, export them again."
                )
        return numbers


def _cases(
    pairs: list[Pair], problems: list[str]
) -> tuple[list[Case], dict[Path, Header], dict[Subset, list[str]]]:
    """The cases whose files fit, the headers of their images, and the ids of each subset."""
    often = Counter(pair.stem for pair in pairs)
    cases: dict[str, Case] = {}
    headers: dict[Path, Header] = {}
    subsets: dict[Subset, list[str]] = {}
    for pair in pairs:
        name = pair.stem if often[pair.stem] == 1 else f"{pair.subset}_{pair.stem}"
        if name in cases:
            problems.append(
                f"{cases[name].image} and {pair.image} are two files for one case, {name}: rename "
                "one of them."
            )
            continue
        header = header_of(pair.image, _others(pair), problems)
        if header is None:
            continue
        headers[pair.image] = header
        cases[name] = Case(
            name, pair.image, pair.mask, instances=pair.instances, field_of_view=pair.view
        )
        if pair.subset is not None:
            subsets.setdefault(pair.subset, []).append(name)
    return list(cases.values()), headers, subsets


def _others(pair: Pair) -> dict[Path, str]:
    named = {
        pair.mask: "mask",
        pair.instances: f"file in {INSTANCES}/",
        pair.view: f"file in {FIELD_OF_VIEW}/",
    }
    return {path: what for path, what in named.items() if path is not None}


def _channels(headers: Mapping[Path, Header], wanted: int | None) -> int:
    """As wanted, else 3 as soon as one image has colours (grey ones are repeated), else 1."""
    return wanted or max((header.channels for header in headers.values()), default=1)


def _lists(
    root: Path, subsets: Mapping[Subset, list[str]], ids: set[str], problems: list[str]
) -> dict[Subset, tuple[str, ...]] | None:
    """The split of the folders, or that of train.txt, val.txt and test.txt; None without both."""
    files = {subset: root / f"{subset}.txt" for subset in SUBSETS}
    named = [path for path in files.values() if path.is_file()]
    if subsets and named:
        problems.append(
            f"{root} has a split twice, by folders and by {named[0].name}: keep one of them."
        )
    if subsets:
        return {subset: tuple(subsets.get(subset, ())) for subset in SUBSETS}
    if not named:
        return None
    return {
        subset: _read_list(path, ids, problems) if path in named else ()
        for subset, path in files.items()
    }


def _read_list(path: Path, ids: set[str], problems: list[str]) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path} cannot be read: {error}.")
        return ()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    known = {name: case_id(name, ids) for name in names}
    unknown = [name for name, case in known.items() if case is None]
    if unknown:
        problems.append(
            f"{path} names {len(unknown)} cases that have no image and mask, such as {unknown[0]}."
        )
    return tuple(case for name in names if (case := known[name]) is not None)


def _refuse_options_of_volumes(settings: DataSettings, images: Iterable[Path]) -> None:
    """Volumes have slices, and volumes and DICOM images a window; other pictures have neither."""
    default = DataSettings()
    for name in ("slices", "empty_slices"):
        if getattr(settings, name) != getattr(default, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for volumes (NIfTI), and {settings.data_root} "
                "holds pictures: leave it out."
            )
    other = next((path for path in images if not is_dicom(path)), None)
    if settings.window is not None and other is not None:
        raise UsageError(
            f"--window is for NIfTI and DICOM, and {other} is neither: leave it out, or say with "
            "--white which stored value is white."
        )


def read_folder(
    root: Path,
    settings: DataSettings,
    *,
    name: str = "folder",
    class_names: tuple[str, ...] = (),
) -> FolderReader:
    """Pair the images and masks below a folder and look at their headers.

    Args:
        root: folder with images/ and masks/, or in another form of `nas.data.layouts.paired`; and
            optionally train.txt, val.txt, test.txt with one id (a stem or a file name) per line.
        settings: channels, white, window, value map and groups are taken from here.
        name: name of the layout.
        class_names: classes that the layout fixes; empty where the user names them.

    Raises:
        DataError: the folder has no known form, or no pair at all.
        UsageError: the value map is malformed, or does not fit the number of class names, or an
            option of volumes is given.
    """
    class_names = class_names or settings.class_names
    value_map = parse_value_map(settings.value_map) if settings.value_map else None
    check_class_names(class_names, value_map)
    problems: list[str] = []
    pairs, notes = _all_pairs(root, problems)
    _refuse_options_of_volumes(settings, (pair.image for pair in pairs))
    cases, headers, subsets = _cases(pairs, problems)
    return FolderReader(
        name=name,
        channels=_channels(headers, settings.image_channels),
        cases=with_groups(cases, settings.groups, problems),
        lists=_lists(root, subsets, {case.id for case in cases}, problems),
        problems=tuple(problems),
        notes=(*notes, *_notes(root, settings, pairs)),
        white=settings.white,
        window=settings.window,
        value_map=value_map,
        class_names=class_names,
    )


def _notes(root: Path, settings: DataSettings, pairs: Iterable[Pair]) -> list[str]:
    """What a user should know beside the form of the folders."""
    notes = []
    if settings.groups is None and (root / "groups.csv").is_file():
        notes.append(
            f"{root / 'groups.csv'} is not used: --groups {root / 'groups.csv'} keeps its groups "
            "together."
        )
    if any(is_dicom(pair.image) for pair in pairs):
        notes.append(
            "DICOM images are read with their rescale slope and intercept and "
            f"{'--window' if settings.window else 'their own window'}; MONOCHROME1 is turned round."
        )
    return notes


def _all_pairs(root: Path, problems: list[str]) -> tuple[list[Pair], list[str]]:
    """The pairs of all places below a root, and sentences on their form."""
    places, notes = places_in(root)
    pairs: list[Pair] = []
    endings: set[str] = set()
    for place in places:
        found, ending = pairs_in(place, problems)
        pairs += found
        endings.add(ending)
    if not pairs:
        hint = next((f" {problem}" for problem in problems if "archive" in problem), "")
        raise DataError(
            f"No image in {places[0].images} has a mask in {places[0].masks}: pairs "
            f"({', '.join(IMAGE_SUFFIXES)}) have equal stems, such as images/a1.png and "
            f"masks/a1.png.{hint}"
        )
    notes += [
        f"Masks are named like their images with {end} behind." for end in sorted(endings) if end
    ]
    return pairs, notes


def survey(settings: DataSettings) -> LayoutReader:
    """The reader of paired folders under ``settings.data_root``.

    Raises:
        UsageError: no data root is given, or the settings contradict each other.
        DataError: the folder does not exist or holds no pair.
    """
    if settings.data_root is None:
        raise UsageError(f"--dataset folder needs --data-root DIR: {EXPECTED}.")
    root = root_of(settings, EXPECTED)
    from nas.data.layouts.volume_folder import holds_volumes, read_volume_folder

    images = root / NAMES[0][0]
    if images.is_dir() and holds_volumes(images):
        return read_volume_folder(root, settings)
    return read_folder(root, settings)
