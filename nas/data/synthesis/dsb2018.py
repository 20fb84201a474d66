"""The Data Science Bowl 2018, nuclei (Caicedo et al. 2019).

stage1_train/ID/images/ID.png and stage1_train/ID/masks/HASH.png, one file for each nucleus;
stage1_test/ID/images/ID.png without masks. Identifiers are 64 hexadecimal digits. Images are
RGBA of 8 bits, whether they show colour or grey, and of several sizes; masks are 8-bit grey, 0
and 255, and do not overlap. The folders and that masks do not overlap are in the description of
the competition; modes, sizes and the form of the identifiers are assumed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from nas.data.scenes import nuclei
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
)

SIZE = (256, 256)
WIDER = 1.25
"""Every third image is so much wider, as those of 256 x 320."""
TEST = 11
"""One of so many images is for test, as 65 of 735."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write stage1_train and, from 11 cases on, stage1_test.

    Args:
        root: folder to write into.
        cases: images in all, 1 or more.
        seed: of what is drawn.
        size: height and width of most images.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 1, 9999)
    require_size(size, 32)
    for number in range(cases):
        rng = generator(seed, number)
        width = round(size[1] * WIDER) if number % 3 == 2 else size[1]
        picture = nuclei.draw(rng, (size[0], width))
        assert picture.instances is not None
        part = "stage1_train" if number < cases - cases // TEST else "stage1_test"
        name = _identifier(seed, number, 0)
        folder = root / part / name
        save_picture(folder / "images" / f"{name}.png", _with_alpha(bytes_of(picture.image)))
        if part == "stage1_train":
            _save_masks(folder / "masks", picture.instances, seed, number)


def _save_masks(folder: Path, instances: np.ndarray, seed: int, number: int) -> None:
    for nucleus in np.unique(instances[instances > 0]).tolist():
        mask = (instances == nucleus).astype(np.uint8) * 255
        save_picture(folder / f"{_identifier(seed, number, nucleus)}.png", mask)


def _identifier(*numbers: int) -> str:
    return hashlib.sha256(" ".join(map(str, numbers)).encode("ascii")).hexdigest()


def _with_alpha(grey: np.ndarray) -> np.ndarray:
    opaque = np.full_like(grey, 255)
    return np.stack([grey, grey, grey, opaque], axis=-1)
