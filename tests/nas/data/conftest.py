"""Small data sets, written in exactly the layouts that the readers expect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.settings import DataSettings

MakeFolder = Callable[..., DataSettings]


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def save_picture() -> Callable[[Path, np.ndarray], Path]:
    return save


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Writes images/ and masks/ with random pairs of 40 x 48 pixels and returns the settings."""

    def make(
        count: int = 6, values: tuple[int, ...] = (0, 1, 2), **options: object
    ) -> DataSettings:
        generator = np.random.default_rng(count)
        for number in range(1, count + 1):
            image = generator.integers(0, 256, (40, 48), dtype=np.uint8)
            mask = generator.choice(np.asarray(values, dtype=np.uint8), (40, 48))
            save(tmp_path / "images" / f"case{number}.png", image)
            save(tmp_path / "masks" / f"case{number}.png", mask)
        return DataSettings(
            **{"dataset": "folder", "data_root": tmp_path, **options}  # type: ignore[arg-type]
        )

    return make
