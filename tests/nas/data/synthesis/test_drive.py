from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.synthesis.drive import write, write_without_test_labels

TRAINING = {"training/images/21_training.tif", "training/1st_manual/21_manual1.gif"} | {
    "training/mask/21_training_mask.gif"
}
TEST = {"test/images/01_test.tif", "test/mask/01_test_mask.gif"}
LABELS = {"test/1st_manual/01_manual1.gif", "test/2nd_manual/01_manual2.gif"}


def test_the_files(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 2, 0)
    assert tree(tmp_path) == TRAINING | TEST | LABELS
    for name in tree(tmp_path):
        mode, size, pixels = opened(tmp_path / name, "TIFF" if name.endswith("tif") else "GIF")
        assert size == (565, 584)
        if name.endswith("tif"):
            assert mode == "RGB" and pixels.dtype == np.uint8
        else:
            assert pixels.shape == (584, 565) and np.unique(pixels).tolist() == [0, 255]


def test_field_and_vessels_fit(tmp_path: Path, opened: Callable[..., Any]) -> None:
    write(tmp_path, 2, 0)
    field = opened(tmp_path / "test/mask/01_test_mask.gif", "GIF")[2] > 0
    first = opened(tmp_path / "test/1st_manual/01_manual1.gif", "GIF")[2] > 0
    second = opened(tmp_path / "test/2nd_manual/01_manual2.gif", "GIF")[2] > 0
    assert abs(field.any(axis=0).sum() - 540) <= 2
    assert not first[~field].any()
    assert (first != second).any()
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.7


def test_the_present_form_has_no_test_labels(tmp_path: Path, tree: Callable[..., Any]) -> None:
    write_without_test_labels(tmp_path, 2, 0, (64, 64))
    assert tree(tmp_path) == TRAINING | TEST


def test_both_forms_show_the_same_images(tmp_path: Path, tree: Callable[..., Any]) -> None:
    write(tmp_path / "a", 4, 3, (64, 64))
    write_without_test_labels(tmp_path / "b", 4, 3, (64, 64))
    for name in tree(tmp_path / "b"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_whole_set_has_the_numbers_of_the_real_one(
    tmp_path: Path, tree: Callable[..., Any]
) -> None:
    write(tmp_path, 40, 0, (64, 64))
    images = {Path(name).name for name in tree(tmp_path) if "/images/" in name}
    assert images == {f"{n:02d}_test.tif" for n in range(1, 21)} | {
        f"{n}_training.tif" for n in range(21, 41)
    }
