from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.data.layouts.same_size import header_of

Save = Callable[[Path, np.ndarray], Path]


def _pixels(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width), np.uint8)


def test_files_of_one_size(tmp_path: Path, save_picture: Save) -> None:
    image = save_picture(tmp_path / "a.png", _pixels(4, 6))
    mask = save_picture(tmp_path / "b.png", _pixels(4, 6))
    problems: list[str] = []
    header = header_of(image, {mask: "mask"}, problems)
    assert header is not None
    assert (header.height, header.width) == (4, 6)
    assert problems == []


def test_everything_wrong_is_told_at_once(tmp_path: Path, save_picture: Save) -> None:
    image = save_picture(tmp_path / "a.png", _pixels(4, 6))
    turned = save_picture(tmp_path / "b.png", _pixels(6, 4))
    none = tmp_path / "c.png"
    problems: list[str] = []
    assert header_of(image, {turned: "mask", none: "field of view"}, problems) is None
    assert len(problems) == 2
    assert "a.png is 4x6 and its mask" in problems[0]
    assert "b.png is 6x4 (height x width)" in problems[0]
    assert "c.png does not exist" in problems[1]


def test_an_earlier_problem_is_no_problem_of_this_case(tmp_path: Path, save_picture: Save) -> None:
    image = save_picture(tmp_path / "a.png", _pixels(4, 6))
    assert header_of(image, {}, ["an earlier one"]) is not None
