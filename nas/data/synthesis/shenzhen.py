"""Shenzhen chest radiographs (Jaeger et al. 2014, NLM) with the lung masks of Stirenko et al. 2018.

ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png (the last number is 1 for tuberculosis) and
ChinaSet_AllFiles/ClinicalReadings/CHNCXR_0001_0.txt are the owner's. The masks come from others
(Kaggle, yoctoman/shcxr-lung-mask) in a folder mask/ of CHNCXR_0001_0_mask.png, both lungs in one
picture of 0 and 255, and 96 of the 662 images have none. The images are grey stored as palette
PNGs of 8 bits, of about 3000 x 3000 pixels and of many sizes (found on the copy that Kaggle has).
A reading has two lines, sex and age in the first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nas.data.scenes import chest
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
    save_text,
)

FOLDER = "ChinaSet_AllFiles"
MASKS = "mask"
SIZE = (2951, 3000)
NORMAL, SICK = 326, 336
WITHOUT_MASK = 7
"""Every so many images have no mask, as 96 of 662."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write the images, the masks that there are, and the readings.

    Args:
        root: folder to write into.
        cases: images, 1 or more, healthy and sick as in the real set; every seventh, and the
            third, has no mask.
        seed: of what is drawn.
        size: height and width of the largest image.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 1, 9999)
    require_size(size, 40)
    healthy = round(cases * NORMAL / (NORMAL + SICK))
    for number in range(1, cases + 1):
        rng = generator(seed, number)
        sick = number > healthy
        name = f"CHNCXR_{number:04d}_{int(sick)}"
        height, width = (round(side * rng.uniform(0.8, 1.0)) for side in size)
        picture = chest.draw(rng, (height, width))
        _save_palette(root / FOLDER / "CXR_png" / f"{name}.png", bytes_of(picture.image))
        save_text(root / FOLDER / "ClinicalReadings" / f"{name}.txt", _reading(rng, sick))
        if number != 3 and number % WITHOUT_MASK:
            mask = (picture.labels >= 2).astype(np.uint8) * 255
            save_picture(root / MASKS / f"{name}_mask.png", mask)


def _save_palette(path: Path, pixels: np.ndarray) -> None:
    """A palette PNG whose colours are greys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    picture.putpalette([grey for grey in range(256) for _ in range(3)])
    picture.save(path)


def _reading(rng: np.random.Generator, sick: bool) -> list[str]:
    sex, age = rng.choice(["male", "female"]), int(rng.integers(4, 90))
    return [f"{sex} {age}yrs", "right upper PTB" if sick else "normal"]
