"""Plain folders: images/ and masks/ of equal stems, with lists, groups and objects.

masks/ holds class indices (0 background, 1 cell), instances/ the objects as 16-bit numbers;
train.txt, val.txt and test.txt name the subsets, groups.csv the sequence of each picture. A
sequence stays in one subset.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import cells as scene
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
    save_text,
)

SIZE = (256, 256)
GROUP = 2
"""Pictures of one sequence."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write images/NAME.png (8-bit grey), masks/NAME.png and instances/NAME.png.

    Args:
        root: folder to write into.
        cases: pictures, 3 or more.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 3, 9999)
    require_size(size, 32)
    group = GROUP if cases >= 3 * GROUP else 1
    names = [f"cells_{number:04d}" for number in range(1, cases + 1)]
    for number, name in enumerate(names):
        picture = scene.draw(generator(seed, number), size)
        assert picture.instances is not None
        save_picture(root / "images" / f"{name}.png", bytes_of(picture.image))
        save_picture(root / "masks" / f"{name}.png", picture.labels)
        save_picture(root / "instances" / f"{name}.png", picture.instances.astype(np.uint16))
    groups = [number // group for number in range(cases)]
    rows = [f"{name},sequence {g + 1}" for name, g in zip(names, groups, strict=True)]
    save_text(root / "groups.csv", ["file,group", *rows])
    train, val = _borders(groups[-1] + 1)
    for subset, chosen in (
        ("train", range(train)),
        ("val", range(train, val)),
        ("test", range(val, groups[-1] + 1)),
    ):
        named = [name for name, g in zip(names, groups, strict=True) if g in chosen]
        save_text(root / f"{subset}.txt", named)


def _borders(groups: int) -> tuple[int, int]:
    """The first group that is not for training, and the first that is for test."""
    held = max(1, groups // 5)
    return groups - 2 * held, groups - held
