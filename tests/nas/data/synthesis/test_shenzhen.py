import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas.data.synthesis.shenzhen import write

FOLDER = "ChinaSet_AllFiles"


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 4, 0, (100, 110))
    names = ["CHNCXR_0001_0", "CHNCXR_0002_0", "CHNCXR_0003_1", "CHNCXR_0004_1"]
    masked = [name for name in names if "0003" not in name]
    assert tree(tmp_path) == {f"{FOLDER}/CXR_png/{n}.png" for n in names} | {
        f"{FOLDER}/ClinicalReadings/{n}.txt" for n in names
    } | {f"mask/{n}_mask.png" for n in masked}
    for name in names:
        mode, (width, height), _ = opened(tmp_path / FOLDER / "CXR_png" / f"{name}.png", "PNG")
        assert mode == "P" and 80 <= height <= 100 and 88 <= width <= 110
    for name in masked:
        mode, size, mask = opened(tmp_path / "mask" / f"{name}_mask.png", "PNG")
        image = opened(tmp_path / FOLDER / "CXR_png" / f"{name}.png", "PNG")
        assert (mode, size, np.unique(mask).tolist()) == ("L", image[1], [0, 255])


def test_the_palette_is_grey_so_that_indices_are_greys(tmp_path: Path) -> None:
    write(tmp_path, 2, 0, (100, 110))
    with Image.open(tmp_path / FOLDER / "CXR_png" / "CHNCXR_0001_0.png") as picture:
        colours = np.asarray(picture.convert("RGB"))
        indices = np.asarray(picture)
    np.testing.assert_array_equal(colours, np.repeat(indices[..., None], 3, axis=2))
    assert len(np.unique(indices)) > 100


def test_about_one_in_seven_has_no_mask(tmp_path: Path, tree: Callable[..., Any]) -> None:
    write(tmp_path, 28, 0, (40, 40))
    assert sum(name.startswith("mask/") for name in tree(tmp_path)) == 28 - 4 - 1


def test_readings_have_two_lines(tmp_path: Path) -> None:
    write(tmp_path, 4, 0, (40, 40))
    for path in (tmp_path / FOLDER / "ClinicalReadings").iterdir():
        text = path.read_text()
        assert re.fullmatch(r"(male|female) \d+yrs\n.+\n", text)
        assert (text.splitlines()[1] == "normal") == path.stem.endswith("_0")
