from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.data.layouts.chase_db1 import survey
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Save = Callable[[Path, np.ndarray], Path]

VESSELS = np.zeros((16, 24), dtype=bool)
VESSELS[5, 3:20] = True


@pytest.fixture
def chase(tmp_path: Path, save_picture: Save) -> Path:
    """Both eyes of two children: JPEG images, and labels of 1 bit by two observers."""
    for name in ("Image_01L", "Image_01R", "Image_14L", "Image_14R"):
        image = np.full((16, 24, 3), (180, 60, 20), dtype=np.uint8)
        save_picture(tmp_path / "CHASEDB1" / f"{name}.jpg", image)
        save_picture(tmp_path / "CHASEDB1" / f"{name}_1stHO.png", VESSELS)
        save_picture(tmp_path / "CHASEDB1" / f"{name}_2ndHO.png", ~VESSELS)
    return tmp_path / "CHASEDB1"


def _settings(root: Path | None) -> DataSettings:
    return DataSettings(dataset="chase_db1", data_root=root)


def test_eyes_of_a_child_are_one_group(chase: Path) -> None:
    for root in (chase, chase.parent):
        reader = open_reader(_settings(root))
        ids = [case.id for case in reader.cases]
        assert ids == ["Image_01L", "Image_01R", "Image_14L", "Image_14R"]
        assert [case.group for case in reader.cases] == ["01", "01", "14", "14"]
        assert reader.lists is None
        assert reader.cases[0].files == (chase / "Image_01L.jpg", chase / "Image_01L_1stHO.png")


def test_pixels_are_those_of_the_first_observer(chase: Path) -> None:
    reader = open_reader(_settings(chase))
    assert reader.classes == ("background", "vessel")
    assert reader.channels == 3
    case = reader.cases[1]
    assert (reader.read_mask(case) == VESSELS).all()
    colour = reader.read_image(case).mean(axis=(1, 2)) * 255
    np.testing.assert_allclose(colour, [180, 60, 20], atol=3)
    assert reader.read_field_of_view(case) is None
    assert any("No field of view is handed out" in note for note in reader.notes)
    assert any("2ndHO) is not used" in note for note in reader.notes)


def test_everything_wrong_is_told_at_once(chase: Path, save_picture: Save) -> None:
    (chase / "Image_01L_1stHO.png").unlink()
    (chase / "Image_01R.jpg").unlink()
    save_picture(chase / "Image_14L_1stHO.png", VESSELS.T)
    reader = survey(_settings(chase))
    assert [case.id for case in reader.cases] == ["Image_14R"]
    assert len(reader.problems) == 3
    assert "Image_01L.jpg has no label: expected" in reader.problems[0]
    assert "Image_14L.jpg is 16x24 and its label" in reader.problems[1]
    assert "Image_01R_1stHO.png has no image: expected" in reader.problems[2]


def test_labels_with_other_values(chase: Path, save_picture: Save) -> None:
    save_picture(chase / "Image_01L_1stHO.png", VESSELS.astype(np.uint8) * 200)
    reader = open_reader(_settings(chase))
    with pytest.raises(DataError, match=r"Image_01L_1stHO\.png holds the values 0, 200; expected"):
        reader.read_mask(reader.cases[0])


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"Image_01L_1stHO\.png, .*Kingston"):
            open_reader(_settings(root))
    (tmp_path / "CHASEDB1.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"CHASEDB1\.zip, which is an archive"):
        open_reader(_settings(tmp_path))
