"""The Medical Segmentation Decathlon: TaskNN_Name with imagesTr, labelsTr, imagesTs, dataset.json.

dataset.json lists the pairs (``training``: image and label), the labels as numbers to names and the
channels (``modality``); several channels are the last axis of one file. Labels of imagesTs were
never handed out. As public programs quote dataset.json (no original was at hand), paths begin with
``./``; archives made on a Mac hold files ``._*``, which are passed over, also where dataset.json
names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.data.layouts.dataset_json import (
    channel_names,
    classes_of,
    find_dataset,
    read_dataset_json,
    say_count,
)
from nas.data.layouts.layout import root_of
from nas.data.layouts.volume_layout import Meaning, Volume, VolumeReader, hidden, survey_volumes
from nas.data.volumes import is_nifti, stem
from nas.errors import DataError
from nas.settings import DataSettings

FOLDER = r"Task\d{2}_.+"
LAYOUT = (
    "expected is TaskNN_Name with dataset.json, imagesTr/CASE.nii.gz and labelsTr/CASE.nii.gz, as "
    "medicaldecathlon.com hands it out (unpack the .tar)"
)
ADVICE = "The labels in dataset.json say which values there are."


def _pairs(path: Path, content: Mapping[str, Any]) -> list[tuple[Path, Path]]:
    """Image and label of every training case that dataset.json names, hidden files left out."""
    training = content.get("training")
    if not isinstance(training, list) or not training:
        raise DataError(
            f'{path} names no training cases: expected "training": [{{"image": '
            '"./imagesTr/CASE.nii.gz", "label": "./labelsTr/CASE.nii.gz"}].'
        )
    pairs = []
    for entry in training:
        image, label = (
            (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        )
        if not isinstance(image, str) or not isinstance(label, str):
            raise DataError(f"{path} has the training case {entry}; expected image and label.")
        if not hidden(Path(image)):
            pairs.append((path.parent / image, path.parent / label))
    return pairs


def _volumes(pairs: list[tuple[Path, Path]], problems: list[str]) -> list[Volume]:
    volumes: dict[str, Volume] = {}
    for image, label in pairs:
        missing = [file for file in (image, label) if not file.is_file()]
        for file in missing:
            problems.append(f"dataset.json names {file}, which does not exist: unpack it again.")
        name = stem(image)
        if name in volumes:
            problems.append(f"dataset.json names the case {name} twice: keep one of them.")
        elif not missing:
            volumes[name] = Volume(name, (image,), label)
    return list(volumes.values())


def _say_unused(folder: Path, pairs: list[tuple[Path, Path]]) -> list[str]:
    notes = []
    named = {image.resolve() for image, _ in pairs}
    unnamed = [path for path in _volumes_in(folder / "imagesTr") if path.resolve() not in named]
    if unnamed:
        notes.append(
            f"{len(unnamed)} files of {folder / 'imagesTr'} are not named by dataset.json and are "
            f"left out, such as {unnamed[0].name}."
        )
    test = _volumes_in(folder / "imagesTs")
    if test:
        notes.append(f"The {len(test)} images of {folder / 'imagesTs'} have no labels: left out.")
    return notes


def _volumes_in(folder: Path) -> list[Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in files if is_nifti(path) and not hidden(path)]


def survey(settings: DataSettings) -> VolumeReader:
    """The reader of a task of the Decathlon under ``settings.data_root``.

    Raises:
        DataError: nothing is found, or dataset.json describes what is not read.
        UsageError: the settings do not fit the data, or nibabel is not installed.
    """
    root = root_of(settings, LAYOUT)
    folder = find_dataset(root, FOLDER, "the Decathlon", LAYOUT)
    path = folder / "dataset.json"
    content = read_dataset_json(path)
    classes, stored = classes_of(path, content)
    channels = channel_names(path, content)
    pairs = _pairs(path, content)
    problems: list[str] = []
    volumes = _volumes(pairs, problems)
    return survey_volumes(
        "msd",
        volumes,
        settings,
        Meaning(names=classes, stored=stored, advice=ADVICE),
        channels=len(channels),
        problems=problems,
        notes=[*say_count(path, content, len(pairs)), *_say_unused(folder, pairs)],
    )
