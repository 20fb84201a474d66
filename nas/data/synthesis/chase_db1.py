"""CHASE_DB1, retinal images of both eyes of 14 children (Fraz et al. 2012).

A flat folder: Image_01L.jpg, Image_01R.jpg, ... of 999 x 960 pixels (width x height), RGB, and
for each the vessels of two observers, Image_01L_1stHO.png and Image_01L_2ndHO.png, of 1 bit.
There is no field of view and no official split. Names as in torch-em's loader
(constantinpape/torch-em, medical/chase_db1.py); sizes and the 1 bit were not
checked on a real file.
"""

from __future__ import annotations

from pathlib import Path

from nas.data.scenes import vessels
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
)
from nas.data.synthesis.observers import second_observer

SIZE = (960, 999)


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write left and right eyes in turn; the real set has 28 images.

    Args:
        root: folder to write into.
        cases: images, 1 to 198.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: the number of cases is out of range, or the size too small.
    """
    require_cases(cases, 1, 198)
    require_size(size, 64)
    for number in range(cases):
        name = f"Image_{number // 2 + 1:02d}{'LR'[number % 2]}"
        rng = generator(seed, number)
        picture = vessels.draw(rng, size)
        first = picture.labels > 0
        save_picture(root / f"{name}.jpg", bytes_of(picture.image), quality=95)
        save_picture(root / f"{name}_1stHO.png", first)
        save_picture(root / f"{name}_2ndHO.png", second_observer(rng, first))
