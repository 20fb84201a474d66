"""GlaS, the Warwick-QU gland segmentation set of MICCAI 2015 (Sirinukunwattana et al. 2017).

One flat folder, "Warwick QU Dataset (Released 2016_07_08)": train_1.bmp ... 85, testA_1.bmp ...
60, testB_1.bmp ... 20 (numbers not padded), RGB of 24 bits, and for each NAME_anno.bmp of 8
bits, 0 background and 1, 2, ... for each gland. Most pictures are 775 wide and 522 high, some
smaller.

Grade.csv as public programs read it (their column names keep the leading blank, their tables
show the rows in the order of the names as texts): the header is
``name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)``, grades are benign or
malignant, and healthy, adenomatous, moderately differentiated, moderately-to-poorly differentated
(so spelt) or poorly differentiated. A patient has pictures of both grades, and in training and
test alike: in the real table train_85 and testA_10 are of patient 10. So the split of the
challenge divides patients, and so does this one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import glands
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
    save_text,
)

FOLDER = "Warwick QU Dataset (Released 2016_07_08)"
HEADER = "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"
SIZE = (522, 775)
SMALLER = ((453, 589), (442, 581), (433, 574), (430, 567))
"""Sizes of the pictures that are smaller than the others."""
PARTS = {"train": 85, "testA": 60, "testB": 20}
MALIGNANT = {"train": 48 / 85, "testA": 27 / 60, "testB": 16 / 20}
PATIENTS = 16
GRADES = {
    "benign": ("healthy", "adenomatous"),
    "malignant": (
        "moderately differentiated",
        "moderately-to-poorly differentated",
        "poorly differentiated",
    ),
}


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write the pictures, their annotations and Grade.csv.

    Args:
        root: folder to write into.
        cases: pictures, 3 or more, divided over train, testA and testB as in the real set.
        seed: of what is drawn.
        size: height and width of most pictures; every fourth is smaller.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 3, 9999)
    require_size(size, 64)
    rows = []
    for order, (part, number) in enumerate(_names(cases)):
        rng = generator(seed, order)
        grade = "malignant" if _is_malignant(part, number) else "benign"
        waviness = glands.MALIGNANT if grade == "malignant" else glands.BENIGN
        picture = glands.draw(rng, _size(size, order), waviness)
        assert picture.instances is not None
        name = f"{part}_{number}"
        save_picture(root / FOLDER / f"{name}.bmp", bytes_of(picture.image))
        save_picture(root / FOLDER / f"{name}_anno.bmp", picture.instances.astype(np.uint8))
        patient = (order % min(PATIENTS, max(2, cases // 2))) + 1
        rows.append(f"{name},{patient}, {grade}, {rng.choice(GRADES[grade])}")
    save_text(root / FOLDER / "Grade.csv", [HEADER, *sorted(rows)])


def _names(cases: int) -> list[tuple[str, int]]:
    test = {part: max(1, round(cases * PARTS[part] / 165)) for part in ("testA", "testB")}
    counts = {"train": max(1, cases - sum(test.values()))} | test
    names = [(part, n) for part, count in counts.items() for n in range(1, count + 1)]
    return names[:cases]


def _is_malignant(part: str, number: int) -> bool:
    """So that the first n pictures of a part have nearly the right share."""
    share = MALIGNANT[part]
    return int(number * share) > int((number - 1) * share)


def _size(size: tuple[int, int], order: int) -> tuple[int, int]:
    if order % 4 != 3:
        return size
    smaller = SMALLER[(order // 4) % len(SMALLER)]
    return round(size[0] * smaller[0] / SIZE[0]), round(size[1] * smaller[1] / SIZE[1])
