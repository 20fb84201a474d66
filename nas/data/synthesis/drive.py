"""DRIVE, digital retinal images for vessel extraction (Staal et al. 2004).

training/images/21_training.tif ... 40, training/1st_manual/21_manual1.gif and
training/mask/21_training_mask.gif; test/images/01_test.tif ... 20 and test/mask/01_test_mask.gif.
Older copies have test/1st_manual/01_manual1.gif and test/2nd_manual/01_manual2.gif, the present
one has no labels for the test images. Pictures are RGB of 565 x 584 (width x height), GIFs have
the values 0 and 255, and mask means the field of view.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import vessels
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_gif,
    save_picture,
)
from nas.data.synthesis.observers import second_observer

SIZE = (584, 565)
HALF = 20
"""Training images, and test images."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write training and test images with vessels of one and of two observers.

    Args:
        root: folder to write into.
        cases: images, 2 to 40; half of them (rounded down) for test.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: the number of cases is out of range, or the size too small.
    """
    vessels_of_test = _write(root, cases, seed, size)
    for name, drawn in vessels_of_test.items():
        save_gif(root / "test" / "1st_manual" / f"{name}_manual1.gif", drawn)
        second = second_observer(generator(seed, int(name), 2), drawn)
        save_gif(root / "test" / "2nd_manual" / f"{name}_manual2.gif", second)


def write_without_test_labels(
    root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE
) -> None:
    """Write what `write` writes, without the vessels of the test images.

    Args:
        root: folder to write into.
        cases: images, 2 to 40; half of them (rounded down) for test.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: the number of cases is out of range, or the size too small.
    """
    _write(root, cases, seed, size)


def _write(root: Path, cases: int, seed: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """All but the labels of the test images, which are returned by number."""
    require_cases(cases, 2, 2 * HALF)
    require_size(size, 64)
    of_test = {}
    for number in [*range(1, cases // 2 + 1), *range(21, 21 + cases - cases // 2)]:
        picture = vessels.draw(generator(seed, number), size)
        assert picture.field_of_view is not None
        part = "test" if number <= HALF else "training"
        name = f"{number:02d}"
        save_picture(root / part / "images" / f"{name}_{part}.tif", bytes_of(picture.image))
        save_gif(root / part / "mask" / f"{name}_{part}_mask.gif", picture.field_of_view)
        if part == "test":
            of_test[name] = picture.labels > 0
        else:
            drawn = picture.labels > 0
            save_gif(root / part / "1st_manual" / f"{name}_manual1.gif", drawn)
    return of_test
