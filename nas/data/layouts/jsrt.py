"""JSRT chest radiographs with the SCR masks, as their owners hand them out.

Images: JPCLN001.IMG ... JPCLN154.IMG (with a nodule) and JPCNN001.IMG ... JPCNN093.IMG,
headerless, 2048 x 2048, big-endian 16-bit integers of 12 bits, stored dark where the film is
bright. Masks: scratch/fold1 and fold2 with masks/{heart,left lung,right lung}/X.gif,
1024 x 1024, one binary picture per organ. Both may lie anywhere below the data root.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.cases import CHEST_CLASSES, Case
from nas.data.groups import with_groups
from nas.data.layouts.greys import open_binary
from nas.data.layouts.layout import LayoutReader, nothing_found, root_of, the_file, the_files
from nas.errors import DataError
from nas.settings import DataSettings

SIDE = 2048
BYTES = 2 * SIDE * SIDE
BRIGHTEST = 4095
MASK_SIDE = 1024
ORGANS = ("left lung", "right lung", "heart")
"""In the order of painting: the heart covers the lungs."""
STRATA = {"JPCLN": "nodule", "JPCNN": "no nodule"}

_IMAGE_NAME = re.compile(r"jpc[ln]n\d{3}\.img", re.IGNORECASE)
_MASK_NAME = re.compile(r"jpc[ln]n\d{3}\.gif", re.IGNORECASE)
MEANING = (
    "Images are 12-bit in big-endian 16-bit files, stored dark where the film is bright; they are "
    "turned round, so that bones are bright, and halved to the 1024x1024 of the masks. Left and "
    "right lung are the patient's: the right lung is on the image's left. Clavicles are left out. "
    "Strata are nodule and no nodule, from the names."
)
LAYOUT = (
    "expected are the files JPCLN001.IMG ... and JPCNN001.IMG ... of JSRT, and of SCR the folders "
    "scratch/fold1/masks and scratch/fold2/masks with heart, left lung and right lung in each. "
    "Both are free after registration with their owners (JSRT; SCR of Radboudumc); "
    "--dataset phantom runs now, on built-in generated chest radiographs"
)


def open_radiograph(path: Path) -> np.ndarray:
    """A JSRT .IMG file as (1, 1024, 1024) float32 in [0, 1], bones bright.

    Values above 4095 are clipped, the scale is turned round (1 - v / 4095), and 2 x 2 pixels
    are averaged into one, which gives the size of the SCR masks.

    Raises:
        DataError: the file is missing, has another size, or its bytes are swapped.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) != BYTES:
        raise DataError(
            f"{path} has {len(content):,} bytes; a JSRT image has {BYTES:,} (2048 x 2048 of 16 "
            "bits): copy or unpack it again."
        )
    stored = np.frombuffer(content, dtype=">u2").reshape(SIDE, SIDE)
    if (stored > BRIGHTEST).mean() > 0.01:
        raise DataError(
            f"{path} holds values above {BRIGHTEST} in many pixels: its bytes are in another order "
            "than JSRT's (big-endian), or it is no JSRT image."
        )
    dark = np.minimum(stored, BRIGHTEST).astype(np.float32) / BRIGHTEST
    half = SIDE // 2
    return 1.0 - dark.reshape(half, 2, half, 2).mean(axis=(1, 3))[None]


@dataclass(frozen=True, kw_only=True)
class JsrtReader(LayoutReader):
    """Cases of JSRT; images at 1024 x 1024, the size of their masks."""

    name: str = "jsrt"
    notes: tuple[str, ...] = (MEANING,)
    classes: tuple[str, ...] = CHEST_CLASSES

    def read_image(self, case: Case) -> np.ndarray:
        """(C, 1024, 1024) float32 in [0, 1]."""
        return np.repeat(open_radiograph(the_file(case.image)), self.channels, axis=0)

    def read_mask(self, case: Case) -> np.ndarray:
        """(1024, 1024) uint8 class indices, from the masks of the organs."""
        result = np.zeros((MASK_SIDE, MASK_SIDE), dtype=np.uint8)
        for organ, path in zip(ORGANS, the_files(case.mask), strict=True):
            result[_open_organ(path)] = CHEST_CLASSES.index(organ)
        return result

    def describe(self, case: Case) -> str:
        """How the image is stored."""
        return "12-bit grey in 16"


def _open_organ(path: Path) -> np.ndarray:
    inside = open_binary(path)
    if inside.shape != (MASK_SIDE, MASK_SIDE):
        raise DataError(
            f"{path} is {inside.shape[0]}x{inside.shape[1]}; an SCR mask is "
            f"{MASK_SIDE}x{MASK_SIDE}."
        )
    return inside


def _found(root: Path, problems: list[str]) -> tuple[dict[str, Path], dict[str, dict[str, Path]]]:
    """Images by id, and masks by id and organ, of everything below the root."""
    images: dict[str, Path] = {}
    masks: dict[str, dict[str, Path]] = defaultdict(dict)
    for folder, _, names in os.walk(root, followlinks=True):
        here = Path(folder)
        for name in sorted(names):
            place = _place(here, name, images, masks)
            if place is None:
                continue
            table, key = place
            if key in table:
                problems.append(f"{here / name} and {table[key]} are one case twice: keep one.")
            else:
                table[key] = here / name
    return images, masks


def _place(
    folder: Path, name: str, images: dict[str, Path], masks: dict[str, dict[str, Path]]
) -> tuple[dict[str, Path], str] | None:
    """The table and the key under which a file belongs; None where it is neither."""
    stem = name.partition(".")[0].upper()
    if _IMAGE_NAME.fullmatch(name):
        return images, stem
    if _MASK_NAME.fullmatch(name) and folder.parent.name == "masks":
        return masks[stem], folder.name
    return None


def _cases(
    images: dict[str, Path], masks: dict[str, dict[str, Path]], problems: list[str]
) -> list[Case]:
    cases = []
    for name, image in images.items():
        missing = [organ for organ in ORGANS if organ not in masks.get(name, {})]
        if missing:
            problems.append(
                f"{image} has no mask of {' and '.join(missing)}: expected "
                f"scratch/fold1/masks/{missing[0]}/{name}.gif (or fold2)."
            )
        else:
            organs = tuple(masks[name][organ] for organ in ORGANS)
            cases.append(Case(name, image, organs, stratum=STRATA[name[:5]]))
    for name in sorted(masks.keys() - images.keys()):
        problems.append(f"{next(iter(masks[name].values()))} has no image {name}.IMG.")
    return cases


def survey(settings: DataSettings) -> JsrtReader:
    """The reader of JSRT and SCR below ``settings.data_root``.

    Raises:
        DataError: no case is found; says what is expected.
    """
    root = root_of(settings, LAYOUT)
    problems: list[str] = []
    images, masks = _found(root, problems)
    if not images or not masks:
        found = f"JSRT images with SCR masks ({len(images)} images, masks of {len(masks)})"
        raise nothing_found(root, found, LAYOUT)
    cases = _cases(images, masks, problems)
    return JsrtReader(
        channels=settings.image_channels or 1,
        cases=with_groups(cases, settings.groups, problems),
        problems=tuple(problems),
    )
