"""Paired folders: images/ and masks/ whose files have equal stems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nas.data.cases import Case, Subset, natural_order
from nas.data.groups import case_id, with_groups
from nas.data.images import IMAGE_SUFFIXES, Header, open_mask, read_header
from nas.data.layouts.layout import LayoutReader, the_file
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

ADVICE = "Say with --value-map which stored value is which class, such as 0:0,255:1."
LISTS: tuple[Subset, ...] = ("train", "val", "test")


def parse_value_map(text: str) -> dict[int, int]:
    """``"0:0,255:1"`` as {stored value: class}.

    Raises:
        UsageError: the text has another form, a value is given twice, or the classes are not
            0, 1, 2, ... without a gap.
    """
    mapping: dict[int, int] = {}
    for pair in text.split(","):
        stored, separator, label = (part.strip() for part in pair.partition(":"))
        if not (separator and stored.isdecimal() and label.isdecimal()):
            raise UsageError(
                f"The value map {text!r} is not understood: write stored:class pairs such as "
                "0:0,255:1."
            )
        if int(stored) in mapping:
            raise UsageError(f"The value map {text!r} gives the stored value {stored} twice.")
        mapping[int(stored)] = int(label)
    classes = sorted(set(mapping.values()))
    if classes != list(range(len(classes))) or not 2 <= len(classes) <= 255:
        raise UsageError(
            f"The value map {text!r} has the classes {classes}; expected 0 (background), 1, 2, ... "
            "without a gap."
        )
    return mapping


@dataclass(frozen=True, kw_only=True)
class FolderReader(LayoutReader):
    """Cases of paired folders. See :func:`read_folder`."""

    value_map: dict[int, int] | None
    class_names: tuple[str, ...]

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
        count = max(self.value_map.values()) + 1 if self.value_map else self._count_values()
        return ("background", *(f"class {k}" for k in range(1, count)))

    def _count_values(self) -> int:
        found: set[int] = set()
        for case in self.cases:
            found.update(np.unique(open_mask(the_file(case.mask))).tolist())
        if sorted(found) != list(range(len(found))) or len(found) < 2:
            raise DataError(
                f"The masks of {len(self.cases)} cases hold the values {_shown(found)}; expected "
                f"every class 0 (background), 1, 2, ... without a gap. {ADVICE}"
            )
        return len(found)

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""
        path = the_file(case.mask)
        stored = open_mask(path)
        count = len(self.classes)
        allowed = self.value_map or {k: k for k in range(count)}
        values, inverse = np.unique(stored, return_inverse=True)
        unknown = [v for v in values.tolist() if v not in allowed]
        if unknown:
            raise DataError(
                f"{path} holds the values {_shown(unknown)}; expected {_shown(allowed)}. {ADVICE}"
            )
        table = np.array([allowed[v] for v in values.tolist()], dtype=np.uint8)
        return table[inverse].reshape(stored.shape)


def _shown(values: object) -> str:
    numbers = sorted(values)  # type: ignore[call-overload]
    text = ", ".join(str(v) for v in numbers[:8])
    return text if len(numbers) <= 8 else f"{text}, ... ({len(numbers)} in all)"


def _files(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The image files of a folder by stem; files of other kinds and hidden ones do not count."""
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in folder.iterdir():
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            stems[path.stem].append(path)
    for paths in stems.values():
        if len(paths) > 1:
            names = " and ".join(sorted(p.name for p in paths))
            problems.append(f"{folder} holds {names}, two files of one stem: keep one of them.")
    return {stem: paths[0] for stem, paths in stems.items() if len(paths) == 1}


def _pairs(root: Path, problems: list[str]) -> list[tuple[str, Path, Path]]:
    images = _files(root / "images", problems)
    masks = _files(root / "masks", problems)
    for stem in natural_order(images.keys() - masks.keys()):
        problems.append(
            f"{images[stem]} has no mask: expected {root / 'masks' / stem}.png (or .tif, .bmp, "
            ".gif)."
        )
    for stem in natural_order(masks.keys() - images.keys()):
        problems.append(f"{masks[stem]} has no image of the same stem in {root / 'images'}.")
    stems = natural_order(images.keys() & masks.keys())
    if not stems:
        raise DataError(
            f"No image in {root / 'images'} has a mask in {root / 'masks'}: {len(images)} images "
            f"and {len(masks)} masks ({', '.join(IMAGE_SUFFIXES)}); pairs have equal stems, such "
            "as images/a1.png and masks/a1.png."
        )
    return [(stem, images[stem], masks[stem]) for stem in stems]


def _header_of_pair(image: Path, mask: Path, problems: list[str]) -> Header | None:
    try:
        first, second = read_header(image), read_header(mask)
    except DataError as error:
        problems.append(str(error))
        return None
    if (first.height, first.width) != (second.height, second.width):
        problems.append(
            f"{image} is {first.height}x{first.width} and its mask {mask} is "
            f"{second.height}x{second.width} (height x width): both need one size."
        )
        return None
    return first


def _channels(headers: Mapping[Path, Header], wanted: int | None) -> int:
    """As wanted, else 3 as soon as one image has colours (grey ones are repeated), else 1."""
    return wanted or max((header.channels for header in headers.values()), default=1)


def _lists(root: Path, ids: set[str], problems: list[str]) -> dict[Subset, tuple[str, ...]] | None:
    """The subsets that train.txt, val.txt and test.txt name; None when there is no such file."""
    found: dict[Subset, tuple[str, ...]] = {}
    for subset in LISTS:
        path = root / f"{subset}.txt"
        if path.is_file():
            found[subset] = _read_list(path, ids, problems)
    if not found:
        return None
    return {subset: found.get(subset, ()) for subset in LISTS}


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


def read_folder(
    root: Path,
    settings: DataSettings,
    *,
    name: str = "folder",
    class_names: tuple[str, ...] = (),
) -> FolderReader:
    """Pair the files of ``root/images`` and ``root/masks`` and look at their headers.

    Args:
        root: folder with images/ and masks/, and optionally train.txt, val.txt, test.txt with
            one id (a stem or a file name) per line.
        settings: channels, white, value map and groups are taken from here.
        name: name of the layout.
        class_names: classes that the layout fixes; empty where the user names them.

    Raises:
        DataError: there is no such folder, or no pair at all.
        UsageError: the value map is malformed, or does not fit the number of class names.
    """
    for folder in (root, root / "images", root / "masks"):
        if not folder.is_dir():
            raise DataError(
                f"There is no folder {folder}: --data-root must be a folder that holds images/ "
                "and masks/."
            )
    class_names = class_names or settings.class_names
    value_map = parse_value_map(settings.value_map) if settings.value_map else None
    _check_names(class_names, value_map)
    problems: list[str] = []
    cases, headers = [], {}
    for stem, image, mask in _pairs(root, problems):
        header = _header_of_pair(image, mask, problems)
        if header is not None:
            headers[image] = header
            cases.append(Case(id=stem, image=image, mask=mask))
    ids = {case.id for case in cases}
    channels = _channels(headers, settings.image_channels)
    lists = _lists(root, ids, problems)
    return FolderReader(
        name=name,
        channels=channels,
        cases=with_groups(cases, settings.groups, problems),
        lists=lists,
        problems=tuple(problems),
        white=settings.white,
        value_map=value_map,
        class_names=class_names,
    )


def _check_names(class_names: tuple[str, ...], value_map: dict[int, int] | None) -> None:
    if len(class_names) == 1 or len(set(class_names)) != len(class_names):
        raise UsageError(
            f"The class names {', '.join(class_names)} do not do: name two or more classes, each "
            "once, background first."
        )
    if class_names and value_map and len(class_names) != max(value_map.values()) + 1:
        raise UsageError(
            f"There are {len(class_names)} class names ({', '.join(class_names)}) and the value "
            f"map has {max(value_map.values()) + 1} classes: both must agree."
        )


def survey(settings: DataSettings) -> FolderReader:
    """The reader of paired folders under ``settings.data_root``.

    Raises:
        UsageError: no data root is given, or the settings contradict each other.
        DataError: the folder does not exist or holds no pair.
    """
    if settings.data_root is None:
        raise UsageError(
            "--dataset folder needs --data-root DIR, a folder that holds images/ and masks/."
        )
    return read_folder(settings.data_root, settings)
