"""What is written, as other programs see it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[[Path], set[str]]
Open = Callable[..., tuple[str, tuple[int, int], np.ndarray]]


@pytest.fixture
def tree() -> Tree:
    """Paths of all files below a folder."""

    def names(root: Path) -> set[str]:
        return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}

    return names


@pytest.fixture
def opened() -> Open:
    """Mode, size (width, height) and pixels of a picture, from Pillow."""

    def open_picture(path: Path, kind: str) -> tuple[str, tuple[int, int], np.ndarray]:
        with Image.open(path) as picture:
            assert picture.format == kind
            return picture.mode, picture.size, np.asarray(picture)

    return open_picture
