"""nnU-Net's raw data: DatasetNNN_Name with imagesTr, labelsTr and dataset.json.

A case has one image for each channel, ``{case}_0000.png``, ``{case}_0001.png``, ..., and one label,
``{case}.png``. Images of one colour file, ``{case}_0000.png`` alone, have three channels. Volumes
(.nii.gz) become their slices. Checked in nnU-Net's documentation (dataset_format.md, its reference
page and ignore_label.md, of version 2): names, endings, labels as names to numbers, ``ignore`` as
the highest number, regions as lists; and the form of version 1 (labels as numbers to names,
``modality``, no ``file_ending``: .nii.gz).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.data.cases import UNKNOWN, Case, Subset, natural_order
from nas.data.groups import with_groups
from nas.data.images import open_image, open_mask, read_header
from nas.data.layouts.dataset_json import (
    channel_names,
    classes_of,
    find_dataset,
    read_dataset_json,
    say_count,
)
from nas.data.layouts.layout import LayoutReader, root_of, the_file, the_files
from nas.data.layouts.same_size import header_of
from nas.data.layouts.volume_layout import (
    Meaning,
    Volume,
    VolumeReader,
    channels_of,
    files_by_name,
    hidden,
    survey_volumes,
)
from nas.data.value_maps import to_classes
from nas.data.volumes import NIFTI_SUFFIXES
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

FOLDER = r"(Dataset|Task)\d{3}_.+"
PICTURES = (".png", ".bmp", ".tif")
COLOURS = 3
LAYOUT = (
    "expected is nnU-Net's DatasetNNN_Name with dataset.json, imagesTr/CASE_0000.png (or .bmp, "
    ".tif, .nii.gz) and labelsTr/CASE.png"
)
ADVICE = "The labels in dataset.json say which values there are."


@dataclass(frozen=True, kw_only=True)
class NnunetReader(LayoutReader):
    """Cases of nnU-Net's 2D data.

    Attributes:
        classes: background first.
        stored: class of each stored value.
    """

    name: str = "nnunet"
    classes: tuple[str, ...]
    stored: Mapping[int, int]

    def read_image(self, case: Case) -> np.ndarray:
        """(C, H, W) float32 in [0, 1]; 16-bit values over 65535."""
        if isinstance(case.image, Path):
            return open_image(case.image, self.channels)
        return np.concatenate([open_image(path, channels=1) for path in _paths(case)])

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices."""
        path = the_file(case.mask)
        return to_classes(open_mask(path), self.stored, str(path), ADVICE)

    def describe(self, case: Case) -> str:
        """How the image is stored."""
        paths = _paths(case)
        several = f", {len(paths)} files" if len(paths) > 1 else ""
        return f"{read_header(paths[0])}{several}"


def _paths(case: Case) -> tuple[Path, ...]:
    if isinstance(case.image, Path):
        return (case.image,)
    return the_files(case.image)


class Described(NamedTuple):
    """What dataset.json says.

    Attributes:
        path: of dataset.json.
        content: of the file.
        channels: names in order.
        classes: names, background first.
        stored: class of each stored value.
        ending: of images and labels.
    """

    path: Path
    content: dict[str, Any]
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    stored: dict[int, int]
    ending: str


def _describe(path: Path) -> Described:
    content = read_dataset_json(path)
    if "dataset" in content:
        raise DataError(
            f"{path} names its files one by one (dataset): that form is not read; copy them to "
            "imagesTr and labelsTr."
        )
    classes, stored = classes_of(path, content)
    channels = channel_names(path, content)
    return Described(path, content, channels, classes, stored, _ending(path, content))


def _ending(path: Path, content: Mapping[str, Any]) -> str:
    known = (*PICTURES, *NIFTI_SUFFIXES)
    ending = content.get("file_ending")
    if ending is None and "channel_names" not in content:
        return ".nii.gz"
    if ending not in known:
        said = f"the file_ending {ending}" if ending is not None else "no file_ending"
        raise DataError(
            f"{path} says {said}; {', '.join(known)} are read: convert the files, or correct it."
        )
    if content.get("overwrite_image_reader_writer") == "Tiff3DIO":
        raise DataError(
            f"{path} describes 3D TIFF files (Tiff3DIO), which are not read: convert them to "
            ".nii.gz."
        )
    return str(ending)


class Files(NamedTuple):
    """The files of one case: its channels in order, and its label."""

    images: tuple[Path, ...]
    label: Path


def _cases(folder: Path, subset: str, said: Described, problems: list[str]) -> dict[str, Files]:
    """The complete cases of imagesTr and labelsTr, or of imagesTs and labelsTs."""
    images_folder, labels_folder = folder / f"images{subset}", folder / f"labels{subset}"
    for needed in (images_folder, labels_folder):
        if not needed.is_dir():
            raise DataError(f"There is no folder {needed}: {LAYOUT}.")
    ending = said.ending
    images = _images(images_folder, said, problems)
    labels = files_by_name(
        labels_folder,
        lambda path: path.name[: -len(ending)],
        lambda path: path.name.endswith(ending),
        problems,
    )
    for name in natural_order(images.keys() - labels.keys()):
        problems.append(
            f"{min(images[name].values())} has no label: expected {labels_folder / name}{ending}."
        )
    for name in natural_order(labels.keys() - images.keys()):
        problems.append(f"{labels[name]} has no image {images_folder / name}_0000{ending}.")
    return {
        name: Files(tuple(images[name][k] for k in sorted(images[name])), labels[name])
        for name in natural_order(images.keys() & labels.keys())
        if _complete(images_folder, name, images[name], said, problems)
    }


def _images(folder: Path, said: Described, problems: list[str]) -> dict[str, dict[int, Path]]:
    """The channels of every case by their numbers."""
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(said.ending)}")
    for path in sorted(folder.iterdir()):
        match = None if hidden(path) else pattern.fullmatch(path.name)
        if match:
            found[match[1]][int(match[2])] = path
        elif path.name.endswith(said.ending) and not hidden(path):
            problems.append(
                f"{path} does not say its channel: expected CASE_0000{said.ending}, CASE_0001 ..."
            )
    return found


def _complete(
    folder: Path, name: str, channels: dict[int, Path], said: Described, problems: list[str]
) -> bool:
    """Whether a case has the channels of dataset.json; what is wrong is told."""
    wanted = range(len(said.channels))
    if _may_be_colours(said) and set(channels) == {0}:
        return True
    missing = [f"{name}_{number:04d}{said.ending}" for number in wanted if number not in channels]
    extra = [channels[number].name for number in channels if number not in wanted]
    if missing:
        problems.append(f"{folder} lacks {', '.join(missing)} (dataset.json names its channels).")
    if extra:
        problems.append(
            f"{folder} holds {', '.join(extra)}; dataset.json names {len(wanted)} channel(s)."
        )
    return not missing and not extra


def _may_be_colours(said: Described) -> bool:
    return said.ending in PICTURES and len(said.channels) == COLOURS


def _picture_case(
    name: str, files: Files, said: Described, settings: DataSettings, problems: list[str]
) -> Case | None:
    """The case of 2D files whose headers agree."""
    others = {**dict.fromkeys(files.images[1:], "other channel"), files.label: "label"}
    first = header_of(files.images[0], others, problems)
    if first is None:
        return None
    count = first.channels + sum(read_header(path).channels for path in files.images[1:])
    if count != len(said.channels):
        problems.append(
            f"{files.images[0]} is {first}; dataset.json names {len(said.channels)} channel(s) "
            f"({', '.join(said.channels)})."
        )
        return None
    image = files.images if len(files.images) > 1 else files.images[0]
    return Case(name, image, files.label)


def survey(settings: DataSettings) -> NnunetReader | VolumeReader:
    """The reader of nnU-Net's raw data under ``settings.data_root``.

    Raises:
        DataError: nothing is found, or dataset.json describes what is not read.
        UsageError: the settings do not fit the data, or nibabel is not installed.
    """
    root = root_of(settings, LAYOUT)
    folder = find_dataset(root, FOLDER, "nnU-Net", LAYOUT)
    said = _describe(folder / "dataset.json")
    problems: list[str] = []
    train = _cases(folder, "Tr", said, problems)
    test = _test_cases(folder, said, problems)
    if not train:
        raise DataError(f"{folder / 'imagesTr'} holds no complete case: {LAYOUT}.")
    for name in natural_order(train.keys() & test.keys()):
        problems.append(f"{name} stands in imagesTr and in imagesTs: keep one of them.")
    notes = [
        *say_count(said.path, said.content, len(train)),
        *_say_labels(said),
        *_say_files(folder),
    ]
    lists: dict[Subset, Sequence[str]] | None = None
    if test:
        lists = {"train": tuple(train), "val": (), "test": tuple(test)}
    cases = {**test, **train}
    if said.ending in PICTURES:
        return _survey_pictures(cases, said, settings, problems, notes, lists)
    return survey_volumes(
        "nnunet",
        [Volume(name, files.images, files.label) for name, files in cases.items()],
        settings,
        Meaning(names=said.classes, stored=said.stored, advice=ADVICE),
        channels=len(said.channels),
        problems=problems,
        notes=notes,
        lists=lists,
    )


def _test_cases(folder: Path, said: Described, problems: list[str]) -> dict[str, Files]:
    if (folder / "imagesTs").is_dir() and (folder / "labelsTs").is_dir():
        return _cases(folder, "Ts", said, problems)
    return {}


def _say_labels(said: Described) -> list[str]:
    unknown = [value for value, label in said.stored.items() if label == UNKNOWN]
    return [
        f"The label {value} (ignore) marks what is unknown: it counts neither in training nor in "
        "scores."
        for value in unknown
    ]


def _say_files(folder: Path) -> list[str]:
    notes = []
    if (folder / "imagesTs").is_dir() and not (folder / "labelsTs").is_dir():
        notes.append(f"{folder / 'imagesTs'} has no labels (labelsTs) and is left out.")
    splits = folder / "splits_final.json"
    if splits.is_file():
        notes.append(
            f"{splits} holds the folds of nnU-Net: --split {splits} --fold 0 trains on the first."
        )
    return notes


def _survey_pictures(
    files: Mapping[str, Files],
    said: Described,
    settings: DataSettings,
    problems: list[str],
    notes: list[str],
    lists: Mapping[Subset, Sequence[str]] | None,
) -> NnunetReader:
    _refuse_volume_settings(settings, said.path)
    found = [_picture_case(name, each, said, settings, problems) for name, each in files.items()]
    cases = [case for case in found if case is not None]
    ids = {case.id for case in cases}
    many = len(said.channels)
    colours = many == COLOURS and all(isinstance(case.image, Path) for case in cases)
    return NnunetReader(
        channels=(settings.image_channels or many) if colours else channels_of(settings, many),
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
        notes=tuple(notes),
        lists=None if lists is None else {s: _known(names, ids) for s, names in lists.items()},
        classes=said.classes,
        stored=said.stored,
    )


def _known(names: Sequence[str], ids: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in ids)


def _refuse_volume_settings(settings: DataSettings, path: Path) -> None:
    """Refuse options that mean something with volumes alone."""
    default = DataSettings()
    for name in ("window", "slices", "empty_slices"):
        if getattr(settings, name) != getattr(default, name):
            raise UsageError(
                f"--{name.replace('_', '-')} means something with volumes alone, and {path} "
                "describes 2D files: leave it out."
            )
