"""What the readers of volumes have in common: the slices of a volume are the cases."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data.cases import Case, Slice, Source, Subset, natural_key
from nas.data.groups import read_groups
from nas.data.layouts.layout import LayoutReader
from nas.data.value_maps import class_count, count_classes, to_classes
from nas.data.volumes import (
    AXES,
    KEPT,
    Plane,
    VolumeCache,
    VolumeHeader,
    check_same_geometry,
    check_window,
    read_volume_header,
)
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

LOOK = {
    "axial": "anterior on top, the patient's right on the image's left",
    "coronal": "superior on top, the patient's right on the image's left",
    "sagittal": "superior on top, anterior on the image's left",
}
"""How the slices of a plane are shown."""


class Volume(NamedTuple):
    """The files of one volume.

    Attributes:
        id: unlike that of any other volume of the data.
        images: one file, whose last axis may be channels, or one file for each channel in order.
        mask: of the same geometry.
    """

    id: str
    images: tuple[Path, ...]
    mask: Path


@dataclass(frozen=True, kw_only=True)
class VolumeReader(LayoutReader):
    """Slices of NIfTI volumes. See :func:`survey_volumes`.

    Attributes:
        plane: of the slices.
        stored: class of each stored value; None for the classes 0, 1, 2, ... themselves.
        names: of the classes; empty where the masks say how many there are.
        advice: what to do about unexpected values, as a sentence.
        headers: of all files.
        cache: of volumes that were decoded last.
    """

    plane: Plane
    stored: Mapping[int, int] | None
    names: tuple[str, ...]
    advice: str
    headers: Mapping[Path, VolumeHeader] = field(repr=False)
    cache: VolumeCache = field(compare=False, repr=False)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, background first.

        Where nobody names them, every mask is read once, and the values found must be exactly
        0, 1, ..., K - 1.

        Raises:
            DataError: a mask cannot be read, or the values found are others.
        """
        if self.names:
            return self.names
        count = class_count(self.stored) if self.stored else self._count_values()
        return ("background", *(f"class {k}" for k in range(1, count)))

    def _count_values(self) -> int:
        files = dict.fromkeys(_slices(case.mask)[0].path for case in self.cases)
        masks = ((str(path), self.cache.labels(path)) for path in files)
        return count_classes(masks, f"{len(files)} volumes", self.advice)

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1]."""
        slices = _slices(case.image)
        parts = [self.cache.image(path, self.plane, number) for path, number in slices]
        image = np.concatenate(parts)
        return np.repeat(image, self.channels // len(image), axis=0)

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""
        ((path, number),) = _slices(case.mask)
        stored = self.cache.mask(path, self.plane, number)
        table = self.stored or {k: k for k in range(len(self.classes))}
        place = f"{path} ({self.plane} slice {number})"
        return to_classes(stored, table, place, self.advice)

    def describe(self, case: Case) -> str:
        """How the volume is stored."""
        return str(self.headers[_slices(case.image)[0].path])


def _slices(source: Source) -> tuple[Slice, ...]:
    if isinstance(source, Slice):
        return (source,)
    assert isinstance(source, tuple)
    return tuple(part for part in source if isinstance(part, Slice))


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the values of masks mean in a layout.

    Attributes:
        names: of the classes, background first; empty where the masks say how many there are.
        stored: class of each stored value; None for the classes themselves.
        advice: what to do about unexpected values, as a sentence.
    """

    names: tuple[str, ...] = ()
    stored: Mapping[int, int] | None = None
    advice: str = ""


def survey_volumes(
    name: str,
    volumes: Sequence[Volume],
    settings: DataSettings,
    meaning: Meaning,
    *,
    channels: int | None = None,
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
    lists: Mapping[Subset, Sequence[str]] | None = None,
) -> VolumeReader:
    """The reader of volumes whose files are known, after a look at their headers.

    A case is a slice, named ``{volume}_{number:03d}``; its group is the volume, so that slices of
    one volume stay together, or what the CSV of groups says of the volume. Masks are decoded
    here only where slices without foreground are left out.

    Args:
        name: of the layout.
        volumes: the files of each.
        settings: window, plane, empty slices, channels and groups are taken from here.
        meaning: of the values of the masks.
        channels: that the layout promises; None where the files say it.
        problems: sentences about the layout that were found before.
        notes: the same.
        lists: ids of volumes of a split that came with the data.

    Raises:
        UsageError: nibabel is not installed, or the settings contradict each other or the data.
    """
    if settings.window is not None:
        check_window(settings.window)
    found = list(problems)
    said = [*notes, *_say(settings)]
    headers: dict[Path, VolumeHeader] = {}
    good = [volume for volume in volumes if _fits(volume, channels, headers, found)]
    good = _of_equal_channels(good, headers, found)
    files = max((len(volume.images) + 1 for volume in good), default=0)
    cache = VolumeCache(settings.window, kept=max(KEPT, files))
    numbers = _numbers(good, headers, settings, cache, found, said)
    groups = _groups([volume.id for volume in good], settings.groups, found)
    cases = [
        Case(
            id=_slice_id(volume.id, number),
            image=_image_source(volume, number),
            mask=Slice(volume.mask, number),
            group=groups[volume.id],
        )
        for volume in good
        for number in numbers[volume.id]
    ]
    said += _say_geometry(good, headers, settings.slices)
    return VolumeReader(
        name=name,
        channels=channels_of(settings, _channels(good, headers)),
        cases=tuple(sorted(cases, key=lambda case: natural_key(case.id))),
        problems=tuple(found),
        notes=tuple(said),
        lists=_lists(lists, numbers),
        plane=settings.slices,
        stored=meaning.stored,
        names=meaning.names,
        advice=meaning.advice,
        headers=headers,
        cache=cache,
    )


def _slice_id(volume: str, number: int) -> str:
    return f"{volume}_{number:03d}"


def _image_source(volume: Volume, number: int) -> Source:
    slices = tuple(Slice(path, number) for path in volume.images)
    return slices if len(slices) > 1 else slices[0]


def channels_of(settings: DataSettings, stored: int) -> int:
    """Channels that are read of images with so many channels that are no colours.

    Raises:
        UsageError: ``image_channels`` asks for another number, and is not 3 for grey images.
    """
    wanted = settings.image_channels
    if wanted is None or wanted == stored or stored == 1:
        return wanted or stored
    raise UsageError(
        f"--image-channels {wanted} does not fit images of {stored} channels, which are no "
        "colours: leave it out."
    )


def _fits(
    volume: Volume, channels: int | None, headers: dict[Path, VolumeHeader], problems: list[str]
) -> bool:
    """Whether the headers of a volume can be read and agree; what is wrong is told."""
    try:
        image, *others = (read_volume_header(path) for path in volume.images)
        mask = read_volume_header(volume.mask)
        for other in others:
            check_same_geometry(image, other, "other channel")
        check_same_geometry(image, mask, "mask")
    except DataError as error:
        problems.append(str(error))
        return False
    several = [header for header in (image, *others) if others and header.channels > 1]
    for header in (*several, *([mask] if mask.channels > 1 else [])):
        problems.append(f"{header.path} has {header.channels} channels; expected one.")
        return False
    count = image.channels if not others else 1 + len(others)
    if channels is not None and count != channels:
        problems.append(f"{image.path} has {count} channel(s); dataset.json names {channels}.")
        return False
    headers.update({header.path: header for header in (image, *others, mask)})
    return True


def _count(volume: Volume, headers: Mapping[Path, VolumeHeader]) -> int:
    return len(volume.images) if len(volume.images) > 1 else headers[volume.images[0]].channels


def _of_equal_channels(
    volumes: list[Volume], headers: Mapping[Path, VolumeHeader], problems: list[str]
) -> list[Volume]:
    """The volumes with as many channels as most; the others are told."""
    counts = Counter(_count(volume, headers) for volume in volumes)
    usual = counts.most_common(1)[0][0] if counts else 1
    good = []
    for volume in volumes:
        count = _count(volume, headers)
        if count == usual:
            good.append(volume)
        else:
            problems.append(
                f"{volume.images[0]} has {count} channel(s) and most of the volumes have {usual}: "
                "all need the same."
            )
    return good


def _channels(volumes: list[Volume], headers: Mapping[Path, VolumeHeader]) -> int:
    return _count(volumes[0], headers) if volumes else 1


def _numbers(
    volumes: list[Volume],
    headers: Mapping[Path, VolumeHeader],
    settings: DataSettings,
    cache: VolumeCache,
    problems: list[str],
    notes: list[str],
) -> dict[str, list[int]]:
    """The slices of every volume that are cases."""
    axis = AXES[settings.slices]
    numbers = {volume.id: list(range(headers[volume.mask].shape[axis])) for volume in volumes}
    if settings.empty_slices == "keep":
        return numbers
    total = sum(len(kept) for kept in numbers.values())
    for volume in volumes:
        try:
            numbers[volume.id] = _with_foreground(cache.labels(volume.mask), axis)
        except DataError as error:
            problems.append(str(error))
            numbers[volume.id] = []
    left = total - sum(len(kept) for kept in numbers.values())
    notes.append(
        f"{left} of {total} slices hold background only and are left out (--empty-slices drop)."
    )
    return numbers


def _with_foreground(labels: np.ndarray, axis: int) -> list[int]:
    others = tuple(other for other in range(3) if other != axis)
    kept: list[int] = np.flatnonzero((labels != 0).any(axis=others)).tolist()
    return kept


def _groups(ids: list[str], groups_file: Path | None, problems: list[str]) -> dict[str, str]:
    """Group of every volume: itself, or what the CSV says."""
    if groups_file is None:
        return {name: name for name in ids}
    try:
        return read_groups(groups_file, ids)
    except DataError as error:
        problems.append(str(error))
        return {name: name for name in ids}


def _lists(
    lists: Mapping[Subset, Sequence[str]] | None, numbers: Mapping[str, Sequence[int]]
) -> dict[Subset, tuple[str, ...]] | None:
    if lists is None:
        return None
    return {
        subset: tuple(_slice_id(name, k) for name in names for k in numbers.get(name, ()))
        for subset, names in lists.items()
    }


def _say(settings: DataSettings) -> list[str]:
    plane = settings.slices
    scale = (
        f"{settings.window[0]:g} becomes 0 and {settings.window[1]:g} becomes 1 (--window)"
        if settings.window
        else "the percentiles 0.5 and 99.5 of the whole volume become 0 and 1"
    )
    return [
        f"Volumes are turned to RAS and cut into {plane} slices, {LOOK[plane]}; {scale}, and "
        "values outside are clipped. A slice is named by its volume and its number; slices of "
        "one volume form a group."
    ]


def _say_geometry(
    volumes: list[Volume], headers: Mapping[Path, VolumeHeader], plane: Plane
) -> list[str]:
    notes = []
    used = [headers[volume.images[0]] for volume in volumes]
    stated = [header for header in used if not header.stated]
    if stated:
        notes.append(
            f"{len(stated)} volumes do not state their orientation (sform and qform codes are 0), "
            f"such as {stated[0].path}: it is taken to be {stated[0].orientation}, NIfTI's default."
        )
    oblong = [header for header in used if _oblong(header, plane)]
    if oblong:
        sides = [side for axis, side in enumerate(oblong[0].spacing) if axis != AXES[plane]]
        notes.append(
            f"The {plane} pixels of {len(oblong)} volumes are not square, such as "
            f"{sides[0]:.3g} x {sides[1]:.3g} mm (width x height) of {oblong[0].path}; they are "
            "not resampled before images are brought to --image-size."
        )
    return notes


def _oblong(header: VolumeHeader, plane: Plane) -> bool:
    across, up = (side for axis, side in enumerate(header.spacing) if axis != AXES[plane])
    return abs(across - up) > 0.01 * max(across, up)


def hidden(path: Path) -> bool:
    """Whether a file is one that systems leave behind, such as ``._a.nii.gz``."""
    return path.name.startswith(".")


def files_by_name(
    folder: Path,
    name_of: Callable[[Path], str],
    wanted: Callable[[Path], bool],
    problems: list[str],
) -> dict[str, Path]:
    """The files of a folder that are wanted, by the names that they stand for.

    Where two stand for one name, that is a problem, and neither is used.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.is_file() and wanted(path) and not hidden(path):
            found[name_of(path)].append(path)
    for paths in found.values():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            problems.append(f"{folder} holds {names}, one case twice: keep one of them.")
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}
