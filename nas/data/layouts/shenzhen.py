"""Shenzhen chest radiographs of the NLM, with the lung masks that others drew.

ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png (the last number is 1 for tuberculosis) is the
owner's. Masks of both lungs together, CHNCXR_0001_0_mask.png, come from elsewhere in a folder
mask/, mask/mask/ or masks/ and may lie anywhere below the data root. Jaeger et al. 2014, "Two
public chest X-ray datasets for computer-aided screening of pulmonary diseases"; Stirenko et al.
2018 for the masks.

Checked, as far as others have published what they found in the files: 662 images, 635 of them
palette PNGs and 27 RGB, all of them grey; 566 masks of 0 and 255, 279 normal and 287 with
tuberculosis; one image per patient.
"""

from __future__ import annotations

import re
from pathlib import Path

from nas.data.cases import Case
from nas.data.groups import with_groups
from nas.data.layouts.finding import files_by_id, find_folder, holds
from nas.data.layouts.greys import BinaryReader
from nas.data.layouts.layout import nothing_found, root_of
from nas.data.layouts.same_size import header_of
from nas.settings import DataSettings

CLASSES = ("background", "lungs")
STRATA = {"0": "normal", "1": "tuberculosis"}
LAYOUT = (
    "expected are CXR_png/CHNCXR_0001_0.png ... and, in mask/ or masks/, "
    "CHNCXR_0001_0_mask.png ... The U.S. National Library of Medicine hands the images out "
    "(ChinaSet_AllFiles); the masks are on Kaggle (yoctoman/shcxr-lung-mask) and Mendeley Data"
)
MEANING = (
    "Images are grey, though stored as palette or RGB. A mask holds both lungs together. Strata "
    "are normal and tuberculosis, from the last number of a name."
)
_IMAGE = re.compile(r"(CHNCXR_\d{4}_[01])\.(?i:png)")
_MASK = re.compile(r"(CHNCXR_\d{4}_[01])_mask\.(?i:png)")


def _cases(
    images: dict[str, Path], masks: dict[str, Path], folder: Path, problems: list[str]
) -> list[Case]:
    cases = [
        Case(name, images[name], mask, stratum=STRATA[name[-1]])
        for name, mask in masks.items()
        if name in images and header_of(images[name], {mask: "mask"}, problems)
    ]
    problems += [
        f"{path} has no image: expected {folder / name}.png."
        for name, path in masks.items()
        if name not in images
    ]
    return cases


def survey(settings: DataSettings) -> BinaryReader:
    """The reader of the Shenzhen set below ``settings.data_root``.

    Raises:
        DataError: images or masks are not found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    folder = find_folder(root, lambda place: holds(place, _IMAGE), "the Shenzhen set")
    if folder is None:
        raise nothing_found(root, "Shenzhen radiographs", LAYOUT)
    masked = find_folder(root, lambda place: holds(place, _MASK), "the Shenzhen masks")
    if masked is None:
        raise nothing_found(root, "masks of the Shenzhen radiographs", LAYOUT)
    problems: list[str] = []
    images = files_by_id(folder, _IMAGE, problems)
    masks = files_by_id(masked, _MASK, problems)
    notes = [MEANING]
    bare = len(images.keys() - masks.keys())
    if bare:
        notes.append(f"{bare} of {len(images)} images have no mask and are left out.")
    return BinaryReader(
        name="shenzhen",
        classes=CLASSES,
        channels=settings.image_channels or 1,
        cases=with_groups(_cases(images, masks, folder, problems), settings.groups, problems),
        problems=tuple(problems),
        notes=tuple(notes),
    )
