from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.data.synthesis.chase_db1 import write


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 1, 0)
    assert tree(tmp_path) == {"Image_01L.jpg", "Image_01L_1stHO.png", "Image_01L_2ndHO.png"}
    mode, size, image = opened(tmp_path / "Image_01L.jpg", "JPEG")
    assert (mode, size) == ("RGB", (999, 960))
    first, second = (opened(tmp_path / f"Image_01L_{n}HO.png", "PNG") for n in ("1st", "2nd"))
    assert first[:2] == second[:2] == ("1", (999, 960))
    assert (first[2] != second[2]).any()
    bright = image[..., 1].astype(float)
    inside = bright > 20
    assert bright[first[2]].mean() < bright[inside & ~first[2]].mean()
    assert 0.03 < first[2].mean() < 0.2


def test_left_and_right_eyes_in_turn(tmp_path: Path, tree: Callable[..., Any]) -> None:
    write(tmp_path, 28, 0, (64, 64))
    images = {name for name in tree(tmp_path) if name.endswith("jpg")}
    assert images == {f"Image_{n:02d}{side}.jpg" for n in range(1, 15) for side in "LR"}
    assert len(tree(tmp_path)) == 84
