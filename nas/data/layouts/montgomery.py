"""Montgomery County chest radiographs with a mask of each lung, as the NLM hands them out.

MontgomerySet/CXR_png/MCUCXR_0001_0.png (the last number is 1 for tuberculosis), and of the same
names ManualMask/leftMask and ManualMask/rightMask. Jaeger et al. 2014, "Two public chest X-ray
datasets for computer-aided screening of pulmonary diseases"; Candemir et al. 2014.

Checked, as far as others have published what they found in the files: 138 upright images of
4020 x 4892 or 4892 x 4020 pixels, 8-bit grey, and masks of 1 bit or of 0 and 255. leftMask holds
the lung on the left of the image, below the marker R, which is the right lung of the patient; no
document of the owner says so, and other programs take the names for the patient's sides.
Therefore the place decides here: of two lungs, the one further left in the image is the
patient's right. By the remarks in ClinicalReadings, 0113 and 0117 show one patient, and 0162,
0166 and 0170 another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.cases import Case
from nas.data.groups import with_groups
from nas.data.layouts.finding import files_by_id, find_folder
from nas.data.layouts.greys import open_binary
from nas.data.layouts.layout import LayoutReader, nothing_found, root_of, the_files
from nas.data.layouts.same_size import header_of
from nas.errors import DataError
from nas.settings import DataSettings

CLASSES = ("background", "left lung", "right lung")
"""Left and right are the patient's."""
LEFT, RIGHT = 1, 2
SIDES = ("leftMask", "rightMask")
STRATA = {"0": "normal", "1": "tuberculosis"}
FIRST_FILM = {"0117": "0113", "0166": "0162", "0170": "0162"}
"""Films of patients of whom there is an earlier one."""
LARGEST_OVERLAP = 0.5
"""Share of the smaller lung; masks that overlap more show the same lung."""
LAYOUT = (
    "expected are, in MontgomerySet, CXR_png/MCUCXR_0001_0.png ... and of equal names "
    "ManualMask/leftMask and ManualMask/rightMask. The U.S. National Library of Medicine hands "
    "the Montgomery County set out"
)
NOTES = (
    "Images are 8-bit grey. Left and right lung are the patient's: the lung on the image's left is "
    "the right one. This is taken from the place of the masks and not from the names of their "
    "folders: leftMask, as handed out, is the left of the image. A pixel in both masks counts as "
    "right lung.",
    "Strata are normal and tuberculosis, from the last number of a name. Groups are the patients, "
    "of whom two have several films (0113 and 0117; 0162, 0166 and 0170).",
)
_NAME = re.compile(r"(MCUCXR_\d{4}_[01])\.(?i:png)")


@dataclass(frozen=True, kw_only=True)
class MontgomeryReader(LayoutReader):
    """Cases of the Montgomery County set."""

    name: str = "montgomery"
    notes: tuple[str, ...] = NOTES
    classes: tuple[str, ...] = CLASSES

    def read_mask(self, case: Case) -> np.ndarray:
        """(H, W) uint8 class indices, from the masks of the two lungs."""
        paths = the_files(case.mask)
        lungs = [open_binary(path) for path in paths]
        for path, lung in zip(paths, lungs, strict=True):
            if not lung.any():
                raise DataError(f"{path} holds no lung: copy or unpack it again.")
        if lungs[0].shape != lungs[1].shape:
            raise DataError(
                f"{paths[0]} and {paths[1]} have different sizes: copy or unpack them again."
            )
        both = np.count_nonzero(lungs[0] & lungs[1])
        if both > LARGEST_OVERLAP * min(np.count_nonzero(lung) for lung in lungs):
            raise DataError(
                f"{paths[0]} and {paths[1]} show the same lung; expected one lung each: copy or "
                "unpack them again."
            )
        right, left = sorted(lungs, key=_centre)
        result = np.zeros(left.shape, dtype=np.uint8)
        result[left] = LEFT
        result[right] = RIGHT
        return result


def _centre(inside: np.ndarray) -> float:
    """Mean column of a lung."""
    columns = np.count_nonzero(inside, axis=0)
    return float(np.average(np.arange(columns.size), weights=columns))


def _cases(folder: Path, problems: list[str]) -> list[Case]:
    images = files_by_id(folder / "CXR_png", _NAME, problems)
    places = [folder / "ManualMask" / side for side in SIDES]
    masks = [files_by_id(place, _NAME, problems) for place in places]
    cases = []
    for name, image in images.items():
        missing = [
            str(place / f"{name}.png")
            for place, found in zip(places, masks, strict=True)
            if name not in found
        ]
        lungs = tuple(found[name] for found in masks if name in found)
        if missing:
            problems.append(f"{image} lacks a mask: expected {' and '.join(missing)}.")
        elif header_of(image, dict.fromkeys(lungs, "mask"), problems):
            _, number, disease = name.split("_")
            group = FIRST_FILM.get(number, number)
            cases.append(Case(name, image, lungs, group=group, stratum=STRATA[disease]))
    problems += [
        f"{path} has no image: expected {folder / 'CXR_png' / path.name}."
        for found in masks
        for name, path in found.items()
        if name not in images
    ]
    return cases


def _is_set(place: Path) -> bool:
    return (place / "CXR_png").is_dir() and (place / "ManualMask").is_dir()


def survey(settings: DataSettings) -> MontgomeryReader:
    """The reader of the Montgomery set under ``settings.data_root``, or of a folder below it.

    Raises:
        DataError: no image is found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(root, _is_set, "the Montgomery set")
    problems: list[str] = []
    cases = _cases(folder, problems) if folder else []
    if not cases and not problems:
        raise nothing_found(root, "Montgomery radiographs", LAYOUT)
    return MontgomeryReader(
        channels=settings.image_channels or 1,
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
    )
