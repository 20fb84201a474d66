import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.synthesis.montgomery import SIZE, write


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 5, 0, (96, 80))
    names = ["MCUCXR_0001_0", "MCUCXR_0002_0", "MCUCXR_0003_0", "MCUCXR_0004_1", "MCUCXR_0005_1"]
    folder = tmp_path / "MontgomerySet"
    pictures = ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask")
    assert tree(folder) == {f"{p}/{n}.png" for p in pictures for n in names} | {
        f"ClinicalReadings/{n}.txt" for n in names
    }
    for name in names:
        expected = (96, 80) if name == "MCUCXR_0003_0" else (80, 96)
        mode, size, image = opened(folder / "CXR_png" / f"{name}.png", "PNG")
        assert (mode, size) == ("L", expected)
        masks = []
        for side in ("leftMask", "rightMask"):
            mode, size, mask = opened(folder / "ManualMask" / side / f"{name}.png", "PNG")
            assert (mode, size, np.unique(mask).tolist()) == ("L", expected, [0, 255])
            masks.append(mask > 0)
        left, right = masks
        assert not (left & right).any()
        assert np.nonzero(left)[1].mean() < np.nonzero(right)[1].mean()
        assert image[left | right].mean() < image[~(left | right)].mean()


def test_readings_have_three_lines(tmp_path: Path) -> None:
    write(tmp_path, 4, 0, (32, 32))
    for path in (tmp_path / "MontgomerySet" / "ClinicalReadings").iterdir():
        text = path.read_text()
        assert re.fullmatch(r"Patient's Sex: [FM] \nPatient's Age: \d{3}Y\n.+\n", text)
        assert (text.splitlines()[2] == "normal") == path.stem.endswith("_0")


def test_the_real_size() -> None:
    assert SIZE == (4892, 4020)
