"""CX-SEG, the chest radiographs of Dong et al. 2019, in the form that its reader expects.

No public copy is known, hence no original layout: images/ and masks/ of equal stems, the masks
with 0 background, 1 heart, 2 left lung, 3 right lung (the patient's left and right).
"""

from __future__ import annotations

from pathlib import Path

from nas.data.scenes import chest
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
)

SIZE = (512, 512)


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write images/NNN.png and masks/NNN.png, 8-bit grey; the real set has 259 pairs.

    Args:
        root: folder to write into.
        cases: pictures, 1 or more.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 1, 9999)
    require_size(size, 32)
    for number in range(1, cases + 1):
        picture = chest.draw(generator(seed, number), size)
        save_picture(root / "images" / f"{number:04d}.png", bytes_of(picture.image))
        save_picture(root / "masks" / f"{number:04d}.png", picture.labels)
