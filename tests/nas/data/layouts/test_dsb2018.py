import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.data.layouts.dsb2018 import survey
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Save = Callable[[Path, np.ndarray], Path]

FIRST = "00071198d059ba7f5914a526d124d28e6d010c92466da21d4a04cd5413362552"
SECOND = "fe80a2cf3c93dafad8c364fdd1646b0ba4db056cdb7bdb81474f957064812bba"
SHAPE = (20, 26)


def _box(*box: int) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[box[0] : box[1], box[2] : box[3]] = 255
    return mask


NUCLEI = {"b2": _box(2, 6, 2, 6), "b10": _box(4, 9, 4, 9), "a": _box(12, 19, 10, 25)}
"""The first two overlap; in natural order a comes first, then b2, then b10."""


@pytest.fixture
def bowl(tmp_path: Path, save_picture: Save) -> Path:
    train = tmp_path / "stage1_train"
    for name in (FIRST, SECOND):
        image = np.zeros((*SHAPE, 4), dtype=np.uint8)
        image[...] = (90, 60, 30, 255)
        save_picture(train / name / "images" / f"{name}.png", image)
        for nucleus, mask in NUCLEI.items():
            save_picture(train / name / "masks" / f"{nucleus}.png", mask)
    save_picture(tmp_path / "stage1_test" / "0f" / "images" / "0f.png", image)
    return train


def _settings(root: Path | None) -> DataSettings:
    return DataSettings(dataset="dsb2018", data_root=root)


def test_each_folder_is_a_case(bowl: Path) -> None:
    for root in (bowl, bowl.parent):
        reader = open_reader(_settings(root))
        assert [case.id for case in reader.cases] == [FIRST, SECOND]
        assert reader.classes == ("background", "nucleus")
        assert reader.lists is None
        assert reader.channels == 3
    case = reader.cases[0]
    masks = tuple(bowl / FIRST / "masks" / f"{name}.png" for name in ("a", "b2", "b10"))
    assert case.files == (bowl / FIRST / "images" / f"{FIRST}.png", *masks)


def test_nuclei_are_numbered_in_order_and_the_first_wins(bowl: Path) -> None:
    reader = open_reader(_settings(bowl))
    case = reader.cases[0]
    expected = np.zeros(SHAPE, dtype=np.int32)
    for number, name in ((3, "b10"), (2, "b2"), (1, "a")):
        expected[NUCLEI[name] > 0] = number
    instances = reader.read_instances(case)
    assert instances is not None
    assert instances.dtype == np.int32
    assert (instances == expected).all()
    mask = reader.read_mask(case)
    assert mask.dtype == np.uint8
    assert (mask == (sum(each.astype(int) for each in NUCLEI.values()) > 0)).all()


def test_alpha_is_dropped(bowl: Path) -> None:
    reader = open_reader(_settings(bowl))
    colour = reader.read_image(reader.cases[0])[:, 3, 3]
    np.testing.assert_allclose(colour, np.array([90, 60, 30]) / 255, atol=1e-6)
    assert reader.describe(reader.cases[0]) == "8-bit RGB"


def test_a_mask_without_a_pixel_leaves_its_number_out(bowl: Path, save_picture: Save) -> None:
    save_picture(bowl / FIRST / "masks" / "b2.png", np.zeros(SHAPE, np.uint8))
    reader = open_reader(_settings(bowl))
    assert set(np.unique(reader.read_instances(reader.cases[0]))) == {0, 1, 3}


def test_everything_wrong_is_told_at_once(bowl: Path, save_picture: Save) -> None:
    image = np.zeros((*SHAPE, 4), dtype=np.uint8)
    for name in ("c1", "c2", "c3", "c4"):
        save_picture(bowl / name / "images" / f"{name}.png", image)
        save_picture(bowl / name / "masks" / "a.png", NUCLEI["a"])
    (bowl / "c1" / "images" / "c1.png").unlink()
    (bowl / "c2" / "masks" / "a.png").unlink()
    save_picture(bowl / "c3" / "images" / "other.png", image)
    (bowl / "c4" / "images" / "c4.png").rename(bowl / "c4" / "images" / "d.png")
    (bowl / "c4" / "masks" / ".hidden.png").write_text("")
    reader = survey(_settings(bowl))
    assert len(reader.cases) == 2
    assert len(reader.problems) == 4
    assert "c1 has no image: expected" in reader.problems[0]
    assert "c2 has no masks: expected" in reader.problems[1]
    assert "holds c3.png and other.png, two files for one case" in reader.problems[2]
    assert "d.png has another name than its folder" in reader.problems[3]


def test_damaged_and_odd_masks_are_named(bowl: Path, save_picture: Save) -> None:
    path = save_picture(bowl / FIRST / "masks" / "b2.png", NUCLEI["b2"][:5])
    reader = open_reader(_settings(bowl))
    with pytest.raises(DataError, match=rf"b2\.png is 5x26 and its image .*{FIRST}\.png is 20x26"):
        reader.read_mask(reader.cases[0])
    save_picture(path, NUCLEI["b2"] // 2)
    with pytest.raises(DataError, match=r"b2\.png holds the values 0, 127"):
        reader.read_instances(reader.cases[0])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"b2\.png is"):
        reader.read_instances(reader.cases[0])


def test_many_nuclei_are_read_in_a_moment(tmp_path: Path, save_picture: Save) -> None:
    """300 nuclei on 512 x 640 pixels: as many as the fullest of the real images."""
    folder = tmp_path / "x"
    save_picture(folder / "images" / "x.png", np.zeros((512, 640, 4), np.uint8))
    for number in range(300):
        mask = np.zeros((512, 640), dtype=np.uint8)
        row, column = divmod(number, 20)
        mask[30 * row : 30 * row + 20, 30 * column : 30 * column + 20] = 255
        save_picture(folder / "masks" / f"{number}.png", mask)
    reader = open_reader(_settings(tmp_path))
    start = time.perf_counter()
    instances = reader.read_instances(reader.cases[0])
    assert time.perf_counter() - start < 4
    assert instances is not None
    assert np.bincount(instances.ravel())[1:].tolist() == [400] * 300


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path, save_picture: Save) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"stage1_train/ID/masks/\*\.png, .*Kaggle"):
            open_reader(_settings(root))
    save_picture(tmp_path / "0f" / "images" / "0f.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "stage1_train.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"stage1_train\.zip, which is an archive"):
        open_reader(_settings(tmp_path))
