from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.data.layouts.montgomery import survey
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Save = Callable[[Path, np.ndarray], Path]

AT_LEFT = np.zeros((20, 24), dtype=bool)
AT_LEFT[3:15, 2:10] = True
AT_RIGHT = np.zeros((20, 24), dtype=bool)
AT_RIGHT[3:17, 13:22] = True
NAMES = ("MCUCXR_0001_0", "MCUCXR_0113_1", "MCUCXR_0117_1", "MCUCXR_0162_1", "MCUCXR_0170_1")


def _write(
    root: Path, name: str, left_mask: np.ndarray, right_mask: np.ndarray, save: Save
) -> Path:
    folder = root / "MontgomerySet"
    save(folder / "CXR_png" / f"{name}.png", np.full(left_mask.shape, 51, np.uint8))
    save(folder / "ManualMask" / "leftMask" / f"{name}.png", left_mask)
    save(folder / "ManualMask" / "rightMask" / f"{name}.png", right_mask)
    return folder


@pytest.fixture
def montgomery(tmp_path: Path, save_picture: Save) -> Path:
    """8-bit grey images and masks of 1 bit, leftMask on the left of the image."""
    for name in NAMES:
        folder = _write(tmp_path, name, AT_LEFT, AT_RIGHT, save_picture)
    (folder / "ClinicalReadings").mkdir()
    return folder


def _settings(root: Path | None, **options: object) -> DataSettings:
    return DataSettings(dataset="montgomery", data_root=root, **options)  # type: ignore[arg-type]


def test_cases_with_patients_and_diagnoses(montgomery: Path) -> None:
    for root in (montgomery, montgomery.parent):
        reader = open_reader(_settings(root))
        assert tuple(case.id for case in reader.cases) == NAMES
        assert [case.group for case in reader.cases] == ["0001", "0113", "0113", "0162", "0162"]
        assert [case.stratum for case in reader.cases] == ["normal", *["tuberculosis"] * 4]
        assert reader.lists is None
        assert reader.channels == 1
    assert reader.cases[0].files == (
        montgomery / "CXR_png" / "MCUCXR_0001_0.png",
        montgomery / "ManualMask" / "leftMask" / "MCUCXR_0001_0.png",
        montgomery / "ManualMask" / "rightMask" / "MCUCXR_0001_0.png",
    )


def test_the_lung_on_the_left_of_the_image_is_the_right_one(montgomery: Path) -> None:
    reader = open_reader(_settings(montgomery))
    assert reader.classes == ("background", "left lung", "right lung")
    mask = reader.read_mask(reader.cases[0])
    assert mask.dtype == np.uint8
    assert (mask == np.where(AT_LEFT, 2, np.where(AT_RIGHT, 1, 0))).all()
    np.testing.assert_allclose(reader.read_image(reader.cases[0]), 51 / 255, atol=1e-6)
    assert reader.describe(reader.cases[0]) == "8-bit grey"
    assert any("leftMask, as handed out, is the left of the image" in note for note in reader.notes)


def test_names_of_folders_do_not_decide(tmp_path: Path, save_picture: Save) -> None:
    grey = (AT_RIGHT.astype(np.uint8) * 255, AT_LEFT.astype(np.uint8) * 255)
    root = _write(tmp_path, "MCUCXR_0002_0", *grey, save_picture)
    reader = open_reader(_settings(root))
    mask = reader.read_mask(reader.cases[0])
    assert (mask == np.where(AT_LEFT, 2, np.where(AT_RIGHT, 1, 0))).all()


def test_the_centre_decides_not_the_outermost_pixel(tmp_path: Path, save_picture: Save) -> None:
    """The right lung of the patient, with a tip that reaches beyond the other's middle."""
    tip = AT_LEFT.copy()
    tip[4, 2:24] = True
    low = AT_RIGHT.copy()
    low[3:6] = False
    low[16, 1:22] = True
    reader = open_reader(_settings(_write(tmp_path, "MCUCXR_0002_0", tip, low, save_picture)))
    assert (reader.read_mask(reader.cases[0]) == np.where(tip, 2, np.where(low, 1, 0))).all()


def test_a_pixel_in_both_masks_is_the_right_lungs(tmp_path: Path, save_picture: Save) -> None:
    wide = AT_LEFT.copy()
    wide[3:15, 10:15] = True
    root = _write(tmp_path, "MCUCXR_0002_0", wide, AT_RIGHT, save_picture)
    reader = open_reader(_settings(root))
    mask = reader.read_mask(reader.cases[0])
    assert (mask[wide] == 2).all()
    assert (mask[AT_RIGHT & ~wide] == 1).all()


def test_one_lung_twice_and_no_lung_are_refused(tmp_path: Path, save_picture: Save) -> None:
    _write(tmp_path, "MCUCXR_0002_0", AT_LEFT, AT_LEFT, save_picture)
    root = _write(tmp_path, "MCUCXR_0003_0", AT_LEFT, np.zeros_like(AT_LEFT), save_picture)
    reader = open_reader(_settings(root))
    with pytest.raises(DataError, match=r"leftMask.MCUCXR_0002_0\.png and .*show the same lung"):
        reader.read_mask(reader.cases[0])
    with pytest.raises(DataError, match=r"rightMask.MCUCXR_0003_0\.png holds no lung"):
        reader.read_mask(reader.cases[1])


def test_everything_wrong_is_told_at_once(montgomery: Path, save_picture: Save) -> None:
    masks = montgomery / "ManualMask"
    (masks / "leftMask" / "MCUCXR_0001_0.png").unlink()
    (montgomery / "CXR_png" / "MCUCXR_0113_1.png").unlink()
    save_picture(masks / "rightMask" / "MCUCXR_0117_1.png", AT_LEFT.T)
    reader = survey(_settings(montgomery))
    assert [case.id for case in reader.cases] == ["MCUCXR_0162_1", "MCUCXR_0170_1"]
    assert len(reader.problems) == 4
    assert "MCUCXR_0001_0.png lacks a mask: expected" in reader.problems[0]
    assert "leftMask" in reader.problems[0]
    assert "rightMask" not in reader.problems[0]
    assert "MCUCXR_0117_1.png is 20x24 and its mask" in reader.problems[1]
    assert "MCUCXR_0113_1.png has no image" in reader.problems[2]
    assert "MCUCXR_0113_1.png has no image" in reader.problems[3]


def test_values_that_are_no_mask(montgomery: Path, save_picture: Save) -> None:
    path = montgomery / "ManualMask" / "leftMask" / "MCUCXR_0001_0.png"
    save_picture(path, AT_LEFT.astype(np.uint8) * 3)
    reader = open_reader(_settings(montgomery))
    with pytest.raises(DataError, match=r"MCUCXR_0001_0\.png holds the values 0, 3; expected"):
        reader.read_mask(reader.cases[0])


def test_groups_of_the_user_take_the_place_of_patients(montgomery: Path, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("".join(f"{name},x\n" for name in NAMES))
    reader = open_reader(_settings(montgomery, groups=tmp_path / "g.csv"))
    assert {case.group for case in reader.cases} == {"x"}


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"ManualMask/rightMask\. .*Library of Medicine"):
            open_reader(_settings(root))
    (tmp_path / "CXR_png").mkdir()
    (tmp_path / "ManualMask").mkdir()
    with pytest.raises(DataError, match="holds no Montgomery radiographs"):
        open_reader(_settings(tmp_path))
    (tmp_path / "NLM-MontgomeryCXRSet.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"NLM-MontgomeryCXRSet\.zip, which is an archive"):
        open_reader(_settings(tmp_path))
