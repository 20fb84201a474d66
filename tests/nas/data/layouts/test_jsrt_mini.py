from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.layouts.jsrt_mini import survey
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Save = Callable[[Path, np.ndarray], Path]

STORED = np.array([[0, 170, 255], [170, 85, 85]], dtype=np.uint8)
CLASSES = [[0, 0, 2], [0, 1, 1]]


@pytest.fixture
def mini(tmp_path: Path, save_picture: Save) -> Path:
    """Three training and one test image, below the folder of the archive's name."""
    folder = tmp_path / "segmentation02" / "segmentation"
    for part, number in (("train", 1), ("train", 2), ("test", 10), ("train", 3)):
        image = np.full((2, 3), 20 * number, dtype=np.uint8)
        save_picture(folder / f"org_{part}" / f"case{number:03d}.bmp", image)
        save_picture(folder / f"label_{part}" / f"case{number:03d}_label.png", STORED)
    return folder


def _settings(root: Path | None) -> DataSettings:
    return DataSettings(dataset="jsrt_mini", data_root=root)


def test_the_folders_are_the_split(mini: Path) -> None:
    for root in (mini, mini.parent, mini.parent.parent):
        reader = open_reader(_settings(root))
        assert [case.id for case in reader.cases] == ["case001", "case002", "case003", "case010"]
        assert reader.lists == {
            "train": ("case001", "case002", "case003"),
            "val": (),
            "test": ("case010",),
        }
    assert reader.channels == 1
    assert reader.cases[3].files == (
        mini / "org_test" / "case010.bmp",
        mini / "label_test" / "case010_label.png",
    )


def test_stored_values_become_classes(mini: Path) -> None:
    reader = open_reader(_settings(mini))
    assert reader.classes == ("background", "heart", "lungs")
    mask = reader.read_mask(reader.cases[0])
    assert mask.dtype == np.uint8
    assert mask.tolist() == CLASSES
    np.testing.assert_allclose(reader.read_image(reader.cases[3]), 200 / 255, atol=1e-6)


def test_a_palette_of_the_four_greys_is_the_same(mini: Path) -> None:
    picture = Image.fromarray(STORED // 85, mode="P")
    picture.putpalette([grey for grey in (0, 85, 170, 255) for _ in range(3)])
    picture.save(mini / "label_train" / "case001_label.png")
    reader = open_reader(_settings(mini))
    assert reader.read_mask(reader.cases[0]).tolist() == CLASSES


def test_other_values_are_refused(mini: Path, save_picture: Save) -> None:
    save_picture(mini / "label_train" / "case002_label.png", STORED // 85)
    reader = open_reader(_settings(mini))
    with pytest.raises(
        DataError, match=r"case002_label\.png holds the values 0, 1, 2, 3; expected 0, 85, 170, 255"
    ):
        reader.read_mask(reader.cases[1])


def test_one_side_alone_is_no_split(mini: Path) -> None:
    (mini / "org_test" / "case010.bmp").unlink()
    (mini / "label_test" / "case010_label.png").unlink()
    assert open_reader(_settings(mini)).lists is None


def test_everything_wrong_is_told_at_once(mini: Path, save_picture: Save) -> None:
    (mini / "label_train" / "case001_label.png").unlink()
    (mini / "org_train" / "case002.bmp").unlink()
    save_picture(mini / "label_test" / "case010_label.png", STORED.T)
    save_picture(mini / "org_test" / "case003.bmp", STORED)
    save_picture(mini / "label_test" / "case003_label.png", STORED)
    reader = survey(_settings(mini))
    assert [case.id for case in reader.cases] == ["case003"]
    assert reader.cases[0].image == mini / "org_train" / "case003.bmp"
    problems = reader.problems
    assert len(problems) == 4
    assert "case001.bmp has no label: expected" in problems[0]
    assert "case002_label.png has no image: expected" in problems[1]
    assert "case010.bmp is 2x3 and its label" in problems[2]
    assert "are two files for one case" in problems[3]


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"case001_label\.png .*Radiological Technology"):
            open_reader(_settings(root))
    (tmp_path / "segmentation02.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"segmentation02\.zip, which is an archive"):
        open_reader(_settings(tmp_path))
