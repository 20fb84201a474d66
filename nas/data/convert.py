"""Conversion of any layout to plain folders or to the raw data of nnU-Net.

Both forms hold images as PNG: of 8 bits where every image of the data has no more than 256
equally spaced greys from black to white, of 16 bits otherwise. So nothing of an 8-bit or a
16-bit image is lost; of an image of other depth (12-bit JSRT, NIfTI) no value moves by more than
1/131070 of the scale.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from nas.data.cases import UNKNOWN, Case, Reader
from nas.data.splits import SUBSETS, Split
from nas.errors import DataError, UsageError

Form = Literal["folder", "nnunet"]

DATASET = re.compile(r"Dataset\d{3}_[A-Za-z0-9_-]+")
IGNORE = "ignore"
"""What nnU-Net calls the label of pixels whose class is unknown."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_EXACT = 1e-3
"""How far from a whole number a grey of an 8-bit image may be found after decoding."""


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        folder: that holds the data.
        stems: stem of the files of each case, by its id.
        options: to type after a command that reads the folder.
        lost: what of the data has no place in the form, in words.
    """

    folder: Path
    stems: dict[str, str]
    options: str
    lost: tuple[str, ...] = ()


def convert(
    reader: Reader,
    split: Split | None,
    root: Path,
    form: Form,
    dataset: str = "Dataset500_Converted",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Converted:
    """Write the cases of a reader in another form.

    "folder": images/ and masks/ of equal stems (masks are class indices, 255 is unknown), and
    where a case has them instances/ (16-bit numbers) and fov/ (0 and 255); groups.csv where
    there are groups; train.txt, val.txt and test.txt where there is a split.

    "nnunet": ``root/dataset`` with imagesTr and labelsTr (training and validation, or all where
    there is no split), imagesTs and labelsTs (test), dataset.json, and splits_final.json where
    there are validation cases; copy that to nnU-Net's preprocessed folder. An unknown pixel gets
    the label ``ignore``. Objects and fields of view have no place in this form.

    In both, cases.csv names the id, group, stratum and subset behind each stem. Characters of
    an id other than letters, digits, ``.``, ``_`` and ``-`` become ``_`` in its stem.

    Args:
        reader: of the data.
        split: subsets; the cases of none of them are left out. None for no subsets and all cases.
        root: folder to write into; it is made where it is not there.
        form: of the result.
        dataset: name of the folder of the form "nnunet", DatasetNNN_Name.
        progress: called with (cases written, cases in all) after each case.

    Raises:
        UsageError: the folder that is written to is not empty, the form cannot hold the images
            or class names, or the name is not of nnU-Net's form.
        DataError: a file of the data is missing or damaged, the split names a case that the data
            does not have, or an object has a number above 65535.
    """
    if form == "nnunet" and not DATASET.fullmatch(dataset):
        raise UsageError(
            f"{dataset!r} is no name that nnU-Net knows: expected three digits and a word, such as "
            "Dataset500_Chest."
        )
    folder = root / dataset if form == "nnunet" else root
    _require_empty(folder)
    places = _places(reader, split)
    stems = safe_stems(place.case.id for place in places)
    pictures = _Pictures.of(reader, places, single_file=form == "folder")
    write = _write_nnunet if form == "nnunet" else _write_folder
    with _empty_again_on_failure(folder):
        options = write(reader, places, stems, pictures, folder, progress)
        _write_csv(folder / "cases.csv", _table(places, stems))
    return Converted(folder, stems, options, _lost(places) if form == "nnunet" else ())


@dataclass(frozen=True)
class _Place:
    case: Case
    subset: str


def _places(reader: Reader, split: Split | None) -> list[_Place]:
    if split is None:
        return [_Place(case, "") for case in reader.cases]
    cases = {case.id: case for case in reader.cases}
    wanted = [(name, subset) for subset in SUBSETS for name in split.subset(subset)]
    unknown = [name for name, _ in wanted if name not in cases]
    if unknown:
        raise DataError(
            f"The split names {len(unknown)} cases that the data does not have, such as "
            f"{unknown[0]}: it belongs to other data."
        )
    return [_Place(cases[name], subset) for name, subset in wanted]


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; name a folder that is empty or not there yet.")


@contextmanager
def _empty_again_on_failure(folder: Path) -> Iterator[None]:
    """Remove what was written into a folder that was empty, should the writing fail."""
    try:
        yield
    except BaseException:
        for path in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _lost(places: list[_Place]) -> tuple[str, ...]:
    found = {
        "objects": any(place.case.instances is not None for place in places),
        "fields of view": any(place.case.field_of_view is not None for place in places),
    }
    return tuple(name for name, there in found.items() if there)


def safe_stems(ids: Iterable[str]) -> dict[str, str]:
    """A stem for each id that is a file name everywhere, and unlike any other's.

    Args:
        ids: all different.

    Returns:
        Stems by id. They differ in more than the case of their letters.
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in ids:
        stem = _UNSAFE.sub("_", name).lstrip(".") or "case"
        free, number = stem, 2
        while free.casefold() in taken:
            free, number = f"{stem}_{number}", number + 1
        taken.add(free.casefold())
        stems[name] = free
    return stems


@dataclass(frozen=True)
class _Pictures:
    """How all images of the data are stored: one depth, and one file or one for each channel."""

    channels: int
    largest: int
    together: bool

    @staticmethod
    def of(reader: Reader, places: list[_Place], single_file: bool) -> _Pictures:
        eight = all(_is_8_bit(reader.read_image(place.case)) for place in places)
        channels = reader.channels
        together = channels == 1 or (channels == 3 and eight)
        if single_file and not together:
            depth = "8-bit" if eight else "16-bit"
            raise UsageError(
                f"The images have {channels} {depth} channels, and a PNG of the folder form holds "
                "one channel, or three of 8 bits: convert to nnunet, which has a file for each "
                "channel."
            )
        return _Pictures(channels, 255 if eight else 65535, together)

    def save(self, image: np.ndarray, paths: list[Path]) -> None:
        kind = np.uint8 if self.largest == 255 else np.uint16
        stored = np.round(image.astype(np.float64) * self.largest).astype(kind)
        if len(paths) == 1 and self.channels == 3:
            _save(paths[0], np.moveaxis(stored, 0, -1))
            return
        for path, channel in zip(paths, stored, strict=True):
            _save(path, channel)

    @property
    def files(self) -> int:
        return 1 if self.together else self.channels


def _is_8_bit(image: np.ndarray) -> bool:
    stored = image.astype(np.float64) * 255
    return bool(np.abs(stored - np.round(stored)).max(initial=0.0) < _EXACT)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8", newline="\n")


def _write_csv(path: Path, rows: Iterable[Sequence[str | None]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _table(places: list[_Place], stems: Mapping[str, str]) -> list[tuple[str | None, ...]]:
    rows = [(stems[p.case.id], p.case.id, p.case.group, p.case.stratum, p.subset) for p in places]
    return [("file", "id", "group", "stratum", "subset"), *rows]


def _write_folder(
    reader: Reader,
    places: list[_Place],
    stems: Mapping[str, str],
    pictures: _Pictures,
    folder: Path,
    progress: Callable[[int, int], None],
) -> str:
    unknown = False
    for done, place in enumerate(places, start=1):
        case, name = place.case, f"{stems[place.case.id]}.png"
        pictures.save(reader.read_image(case), [folder / "images" / name])
        mask = reader.read_mask(case)
        unknown |= bool((mask == UNKNOWN).any())
        _save(folder / "masks" / name, mask)
        objects = reader.read_instances(case)
        if objects is not None:
            _save(folder / "instances" / name, _numbers(objects, case))
        field = reader.read_field_of_view(case)
        if field is not None:
            _save(folder / "fov" / name, field.astype(np.uint8) * 255)
        progress(done, len(places))
    options = ["--dataset folder", f"--data-root {shlex.quote(str(folder))}"]
    options.append("--class-names " + " ".join(shlex.quote(name) for name in reader.classes))
    if unknown:
        known = ",".join(f"{value}:{value}" for value in range(len(reader.classes)))
        options.append(f"--value-map {known},{UNKNOWN}:{UNKNOWN}")
    options += _write_groups(places, stems, folder)
    if any(place.subset for place in places):
        for subset in SUBSETS:
            chosen = [stems[p.case.id] for p in places if p.subset == subset]
            _write_lines(folder / f"{subset}.txt", chosen)
    return " ".join(options)


def _write_groups(places: list[_Place], stems: Mapping[str, str], folder: Path) -> list[str]:
    """Write groups.csv where there are groups; the option that names it."""
    if all(place.case.group is None for place in places):
        return []
    rows = [(stems[p.case.id], p.case.group or p.case.id) for p in places]
    _write_csv(folder / "groups.csv", [("file", "group"), *rows])
    return [f"--groups {shlex.quote(str(folder / 'groups.csv'))}"]


def _numbers(objects: np.ndarray, case: Case) -> np.ndarray:
    if objects.min(initial=0) < 0 or objects.max(initial=0) > 65535:
        raise DataError(
            f"The objects of {case.id} have numbers from {objects.min()} to {objects.max()}; a "
            "16-bit PNG holds 0 to 65535: number them anew."
        )
    return objects.astype(np.uint16)


def _write_nnunet(
    reader: Reader,
    places: list[_Place],
    stems: Mapping[str, str],
    pictures: _Pictures,
    folder: Path,
    progress: Callable[[int, int], None],
) -> str:
    labels = _labels(reader.classes)
    unknown = False
    for done, place in enumerate(places, start=1):
        part = "Ts" if place.subset == "test" else "Tr"
        stem = stems[place.case.id]
        images = [folder / f"images{part}" / f"{stem}_{n:04d}.png" for n in range(pictures.files)]
        pictures.save(reader.read_image(place.case), images)
        mask = reader.read_mask(place.case)
        unknown |= bool((mask == UNKNOWN).any())
        mask = np.where(mask == UNKNOWN, len(labels), mask).astype(np.uint8)
        _save(folder / f"labels{part}" / f"{stem}.png", mask)
        progress(done, len(places))
    names = ("R", "G", "B") if pictures.channels == 3 else None
    _write_json(
        folder / "dataset.json",
        {
            "channel_names": {
                str(n): names[n] if names else f"channel {n}" for n in range(pictures.channels)
            },
            "labels": labels | ({IGNORE: len(labels)} if unknown else {}),
            "numTraining": sum(place.subset != "test" for place in places),
            "file_ending": ".png",
        },
    )
    val = [stems[p.case.id] for p in places if p.subset == "val"]
    if val:
        train = [stems[p.case.id] for p in places if p.subset == "train"]
        _write_json(folder / "splits_final.json", [{"train": train, "val": val}])
    options = [f"--dataset nnunet --data-root {shlex.quote(str(folder))}"]
    return " ".join(options + _write_groups(places, stems, folder))


def _labels(classes: tuple[str, ...]) -> dict[str, int]:
    """Numbers by name; nnU-Net wants 0 to be called background."""
    labels = {"background": 0} | {name: k for k, name in enumerate(classes) if k > 0}
    if len(labels) != len(classes) or IGNORE in labels:
        raise UsageError(
            f"The classes {', '.join(classes)} cannot be labels of nnU-Net: names differ, none but "
            f"the first is background, and none is {IGNORE}."
        )
    return labels
