"""Paired folders of NIfTI volumes: images/ and masks/ whose files have equal stems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.data.cases import Subset, natural_order
from nas.data.layouts.volume_layout import (
    Meaning,
    Volume,
    VolumeReader,
    files_by_name,
    hidden,
    survey_volumes,
)
from nas.data.value_maps import ADVICE, check_class_names, parse_value_map
from nas.data.volumes import is_nifti, stem
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

LISTS: tuple[Subset, ...] = ("train", "val", "test")


def holds_volumes(folder: Path) -> bool:
    """Whether a folder holds a NIfTI file."""
    return any(is_nifti(path) and not hidden(path) for path in folder.iterdir())


def _pairs(root: Path, problems: list[str]) -> list[Volume]:
    images = files_by_name(root / "images", stem, is_nifti, problems)
    masks = files_by_name(root / "masks", stem, is_nifti, problems)
    for name in natural_order(images.keys() - masks.keys()):
        problems.append(f"{images[name]} has no mask: expected {root / 'masks' / name}.nii.gz.")
    for name in natural_order(masks.keys() - images.keys()):
        problems.append(f"{masks[name]} has no image of the same stem in {root / 'images'}.")
    names = natural_order(images.keys() & masks.keys())
    if not names:
        raise DataError(
            f"No volume in {root / 'images'} has a mask in {root / 'masks'}: {len(images)} images "
            f"and {len(masks)} masks (.nii.gz, .nii); pairs have equal stems, such as "
            "images/a1.nii.gz and masks/a1.nii.gz."
        )
    return [Volume(name, (images[name],), masks[name]) for name in names]


def _lists(root: Path, names: set[str], problems: list[str]) -> dict[Subset, Sequence[str]] | None:
    """The volumes that train.txt, val.txt and test.txt name; None where there is no such file."""
    paths = {subset: root / f"{subset}.txt" for subset in LISTS}
    if not any(path.is_file() for path in paths.values()):
        return None
    return {subset: _read_list(path, names, problems) for subset, path in paths.items()}


def _read_list(path: Path, names: set[str], problems: list[str]) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path} cannot be read: {error}.")
        return ()
    said = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    volumes = [name if name in names else stem(Path(name)) for name in said]
    unknown = [name for name, volume in zip(said, volumes, strict=True) if volume not in names]
    if unknown:
        problems.append(
            f"{path} names {len(unknown)} volumes that are not there or have no mask, such as "
            f"{unknown[0]}."
        )
    return tuple(volume for volume in volumes if volume in names)


def _meaning(settings: DataSettings) -> Meaning:
    names = settings.class_names
    stored = parse_value_map(settings.value_map) if settings.value_map else None
    check_class_names(names, stored)
    return Meaning(names=names, stored=stored, advice=ADVICE)


def read_volume_folder(root: Path, settings: DataSettings) -> VolumeReader:
    """Pair the volumes of ``root/images`` and ``root/masks`` and look at their headers.

    Args:
        root: folder with images/ and masks/, and optionally train.txt, val.txt, test.txt with
            one volume (a stem or a file name) per line.
        settings: window, plane, empty slices, channels, value map, class names and groups are
            taken from here.

    Raises:
        DataError: there is no such folder, or no pair at all.
        UsageError: the settings contradict each other or the data, or nibabel is not installed.
    """
    for folder in (root / "images", root / "masks"):
        if not folder.is_dir():
            raise DataError(
                f"There is no folder {folder}: --data-root must be a folder that holds images/ "
                "and masks/."
            )
    if settings.white is not None:
        raise UsageError(
            "--white is the bright end of pictures; for volumes, --window LOW HIGH says both ends."
        )
    meaning = _meaning(settings)
    problems: list[str] = []
    volumes = _pairs(root, problems)
    lists = _lists(root, {volume.id for volume in volumes}, problems)
    return survey_volumes("folder", volumes, settings, meaning, problems=problems, lists=lists)
