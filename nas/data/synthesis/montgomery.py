"""Montgomery County chest radiographs with lung masks (Jaeger et al. 2014, NLM).

MontgomerySet/CXR_png/MCUCXR_0001_0.png (the last number is 1 for tuberculosis),
ManualMask/leftMask and ManualMask/rightMask with files of the same names, and
ClinicalReadings/MCUCXR_0001_0.txt. The films are 4020 x 4892 or 4892 x 4020 pixels of 12 bits,
but the PNGs are handed out as 8-bit grey (idiap's mednet, data/montgomery; the same was found
on the copy that Kaggle has); masks have the values 0 and 255, their files are taken to be 8-bit
grey. A reading has three lines, the first with a blank at its end.

leftMask holds the lung on the image's left, which is the patient's right one: so one published
inspection of films with the marker R found it; the owner's documents do not say.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import chest
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
    save_text,
)

FOLDER = "MontgomerySet"
SIZE = (4892, 4020)
NORMAL, SICK = 80, 58
LEFT, RIGHT = 2, 3
"""Classes of the patient's lungs in the scene."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write the images, a mask for each lung, and the readings.

    Args:
        root: folder to write into.
        cases: images, 1 or more, healthy and sick as in the real set.
        seed: of what is drawn.
        size: height and width; every third image lies on its side and has them exchanged.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 1, 9999)
    require_size(size, 32)
    healthy = round(cases * NORMAL / (NORMAL + SICK))
    for number in range(1, cases + 1):
        rng = generator(seed, number)
        sick = number > healthy
        name = f"MCUCXR_{number:04d}_{int(sick)}"
        picture = chest.draw(rng, (size[1], size[0]) if number % 3 == 0 else size)
        folder = root / FOLDER
        save_picture(folder / "CXR_png" / f"{name}.png", bytes_of(picture.image))
        for side, label in (("leftMask", RIGHT), ("rightMask", LEFT)):
            mask = (picture.labels == label).astype(np.uint8) * 255
            save_picture(folder / "ManualMask" / side / f"{name}.png", mask)
        save_text(folder / "ClinicalReadings" / f"{name}.txt", _reading(rng, sick))


def _reading(rng: np.random.Generator, sick: bool) -> list[str]:
    finding = "cavitary infiltrate in the upper lobe, active TB" if sick else "normal"
    age = int(rng.integers(4, 90))
    return [f"Patient's Sex: {rng.choice(['F', 'M'])} ", f"Patient's Age: {age:03d}Y", finding]
