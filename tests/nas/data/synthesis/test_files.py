import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.synthesis.files import (
    bytes_of,
    generator,
    save_gif,
    save_picture,
    save_text,
    save_volume,
)
from nas.errors import UsageError


def test_greys_are_rounded_and_clipped() -> None:
    assert bytes_of(np.array([-1, 0, 0.5, 1, 2.0])).tolist() == [0, 0, 128, 255, 255]
    stored = np.arange(256) / np.float32(255)
    np.testing.assert_array_equal(bytes_of(stored), np.arange(256))


def test_a_gif_has_the_greys_0_and_255(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:8, 9:20] = True
    save_gif(tmp_path / "a" / "m.gif", mask)
    with Image.open(tmp_path / "a" / "m.gif") as picture:
        assert picture.format == "GIF" and picture.size == (30, 20)
        np.testing.assert_array_equal(np.asarray(picture), mask * 255)
        np.testing.assert_array_equal(np.asarray(picture.convert("L")), mask * 255)


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (np.eye(9, dtype=bool), "1"),
        (np.eye(9, dtype=np.uint8) * 200, "L"),
        (np.eye(9, dtype=np.uint16) * 60000, "I;16"),
        (np.full((9, 9, 3), 7, np.uint8), "RGB"),
        (np.full((9, 9, 4), 7, np.uint8), "RGBA"),
    ],
)
def test_the_type_decides_the_depth(pixels: np.ndarray, mode: str, tmp_path: Path) -> None:
    save_picture(tmp_path / "x.png", pixels)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.mode == mode
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_lines_end_in_newlines_on_every_system(tmp_path: Path) -> None:
    save_text(tmp_path / "t.txt", ["a ", "b"])
    assert (tmp_path / "t.txt").read_bytes() == b"a \nb\n"


def test_cases_are_drawn_independently() -> None:
    draws = {float(generator(*key).random()) for key in ((0,), (0, 1), (0, 2), (1, 1), (0, 1, 1))}
    assert len(draws) == 5


def test_axes_of_a_volume_point_right_anterior_superior(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    voxels = np.random.default_rng(0).integers(0, 9, (4, 5, 6)).astype(np.uint8)
    save_volume(tmp_path / "v.nii.gz", voxels, (1.0, 2.0, 3.0))
    volume = nibabel.load(tmp_path / "v.nii.gz")
    assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
    assert volume.header.get_zooms() == (1.0, 2.0, 3.0)
    assert volume.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(volume.dataobj), voxels)


def test_without_nibabel_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(UsageError, match=r"discriminator-nas\[medical\]"):
        save_volume(tmp_path / "v.nii.gz", np.zeros((2, 2, 2), np.uint8), (1, 1, 1))
    assert not any(tmp_path.iterdir())
