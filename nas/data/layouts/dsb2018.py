"""Data Science Bowl 2018, nuclei under many microscopes, as Kaggle and BBBC038 hand it out.

stage1_train/ID/images/ID.png (8-bit RGBA) and stage1_train/ID/masks/*.png, a black and white
picture for each nucleus. Caicedo et al. 2019, "Nucleus segmentation across imaging experiments".

Checked against torch-em's loader (light_microscopy/dsb.py: RGBA, a mask per object) and the
threads of kaggle-dsbowl-2018-dataset-fixes, which found overlapping masks in the original files
and mended them in the same layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.cases import Case, natural_key
from nas.data.groups import with_groups
from nas.data.images import read_header
from nas.data.layouts.finding import find_folder, subfolders
from nas.data.layouts.greys import open_binary
from nas.data.layouts.layout import LayoutReader, nothing_found, root_of, the_file, the_files
from nas.errors import DataError
from nas.settings import DataSettings

CLASSES = ("background", "nucleus")
LAYOUT = (
    "expected are stage1_train/ID/images/ID.png and stage1_train/ID/masks/*.png, one for each "
    "nucleus. Kaggle (data-science-bowl-2018) and the Broad Institute (BBBC038) hand it out"
)
NOTES = (
    "Images are 8-bit RGBA, fluorescence and stained tissue together; alpha is dropped. The mask "
    "is all nuclei together; instances number the mask files of a case in order of their names. "
    "A pixel in several of them belongs to the first.",
)


@dataclass(frozen=True, kw_only=True)
class Dsb2018Reader(LayoutReader):
    """Cases of the Data Science Bowl 2018."""

    name: str = "dsb2018"
    notes: tuple[str, ...] = NOTES
    classes: tuple[str, ...] = CLASSES

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8, 1 where a nucleus is."""
        return (self.read_instances(case) > 0).astype(np.uint8)

    def read_instances(self, case: Case) -> np.ndarray:
        """(H, W) int32, k where the k-th mask file is the first that covers the pixel."""
        header = read_header(the_file(case.image))
        result = np.zeros((header.height, header.width), dtype=np.int32)
        for number, path in enumerate(the_files(case.mask), start=1):
            nucleus = open_binary(path)
            if nucleus.shape != result.shape:
                raise DataError(
                    f"{path} is {nucleus.shape[0]}x{nucleus.shape[1]} and its image "
                    f"{case.image} is {header.height}x{header.width} (height x width): both need "
                    "one size."
                )
            _number(result, nucleus, number)
        return result


def _number(result: np.ndarray, nucleus: np.ndarray, number: int) -> None:
    """Write the number where the nucleus is and no other; looks at the rows of the nucleus only."""
    rows = np.flatnonzero(nucleus.any(axis=1))
    if rows.size:
        band = slice(rows[0], rows[-1] + 1)
        result[band][nucleus[band] & (result[band] == 0)] = number


def _pngs(folder: Path) -> list[Path]:
    """The PNG files of a folder in natural order of their names."""
    if not folder.is_dir():
        return []
    files = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".png" and not path.name.startswith(".")
    )
    return sorted(files, key=lambda path: natural_key(path.name))


def _case(folder: Path, problems: list[str]) -> Case | None:
    name = folder.name
    expected = folder / "images" / f"{name}.png"
    images, masks = _pngs(folder / "images"), _pngs(folder / "masks")
    before = len(problems)
    if not images:
        problems.append(f"{folder} has no image: expected {expected}.")
    elif len(images) > 1:
        names = " and ".join(path.name for path in images[:2])
        problems.append(
            f"{folder / 'images'} holds {names}, two files for one case: keep {name}.png."
        )
    elif images[0].stem != name:
        problems.append(f"{images[0]} has another name than its folder: expected {expected}.")
    if not masks:
        problems.append(
            f"{folder} has no masks: expected {folder / 'masks'}/*.png, one for each nucleus; "
            "folders of test images do not belong here."
        )
    if len(problems) > before:
        return None
    nuclei = tuple(masks)
    return Case(name, images[0], nuclei, instances=nuclei)


def _is_set(place: Path) -> bool:
    return any(
        (child / "images").is_dir() and (child / "masks").is_dir() for child in subfolders(place)
    )


def survey(settings: DataSettings) -> Dsb2018Reader:
    """The reader of the Data Science Bowl under ``settings.data_root``, or of a folder below it.

    Raises:
        DataError: no case is found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(root, _is_set, "training images of the Data Science Bowl")
    if folder is None:
        raise nothing_found(root, "images of the Data Science Bowl with masks", LAYOUT)
    problems: list[str] = []
    found = (_case(child, problems) for child in subfolders(folder))
    cases = [case for case in found if case is not None]
    return Dsb2018Reader(
        channels=settings.image_channels or 3,
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
    )
