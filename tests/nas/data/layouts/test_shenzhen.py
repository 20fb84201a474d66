from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.layouts.shenzhen import survey
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Save = Callable[[Path, np.ndarray], Path]

LUNGS = np.zeros((12, 14), dtype=np.uint8)
LUNGS[2:9, 2:6] = 255
LUNGS[2:9, 8:12] = 255
NAMES = ("CHNCXR_0001_0", "CHNCXR_0002_0", "CHNCXR_0327_1", "CHNCXR_0400_1")


def _grey(number: int) -> np.ndarray:
    return np.full((12, 14), 30 * (number + 1), dtype=np.uint8)


@pytest.fixture
def shenzhen(tmp_path: Path, save_picture: Save) -> Path:
    """Palette and RGB images, all grey, and masks from elsewhere for three of four."""
    images = tmp_path / "ChinaSet_AllFiles" / "CXR_png"
    for number, name in enumerate(NAMES):
        images.mkdir(parents=True, exist_ok=True)
        if number % 2:
            Image.fromarray(np.stack([_grey(number)] * 3, axis=-1)).save(images / f"{name}.png")
        else:
            picture = Image.fromarray(_grey(number))
            picture.putpalette([grey for grey in range(256) for _ in range(3)])
            picture.save(images / f"{name}.png")
        if number != 1:
            save_picture(tmp_path / "mask" / "mask" / f"{name}_mask.png", LUNGS)
    return tmp_path


def _settings(root: Path | None) -> DataSettings:
    return DataSettings(dataset="shenzhen", data_root=root)


def test_cases_that_have_a_mask(shenzhen: Path) -> None:
    reader = open_reader(_settings(shenzhen))
    assert [case.id for case in reader.cases] == [NAMES[0], NAMES[2], NAMES[3]]
    assert [case.stratum for case in reader.cases] == ["normal", "tuberculosis", "tuberculosis"]
    assert {case.group for case in reader.cases} == {None}
    assert reader.problems == ()
    assert any("1 of 4 images have no mask and are left out" in note for note in reader.notes)
    assert reader.cases[0].files == (
        shenzhen / "ChinaSet_AllFiles" / "CXR_png" / "CHNCXR_0001_0.png",
        shenzhen / "mask" / "mask" / "CHNCXR_0001_0_mask.png",
    )


def test_palette_and_colour_files_are_read_as_grey(shenzhen: Path) -> None:
    reader = open_reader(_settings(shenzhen))
    assert reader.channels == 1
    for case, number in zip(reader.cases, (0, 2, 3), strict=True):
        image = reader.read_image(case)
        assert image.shape == (1, 12, 14)
        np.testing.assert_allclose(image[0], _grey(number) / 255, atol=1e-6)
        assert (reader.read_mask(case) == (LUNGS > 0)).all()
    assert reader.classes == ("background", "lungs")


@pytest.mark.parametrize("name", ["mask", "masks"])
def test_masks_may_lie_beside_the_images_or_among_them(shenzhen: Path, name: str) -> None:
    folder = shenzhen / "ChinaSet_AllFiles" / name
    (shenzhen / "mask" / "mask").rename(folder)
    for root in (shenzhen, shenzhen / "ChinaSet_AllFiles"):
        assert len(open_reader(_settings(root)).cases) == 3


def test_everything_wrong_is_told_at_once(shenzhen: Path, save_picture: Save) -> None:
    masks = shenzhen / "mask" / "mask"
    save_picture(masks / "CHNCXR_0009_0_mask.png", LUNGS)
    save_picture(masks / "CHNCXR_0327_1_mask.png", LUNGS.T)
    reader = survey(_settings(shenzhen))
    assert [case.id for case in reader.cases] == [NAMES[0], NAMES[3]]
    assert len(reader.problems) == 2
    assert "CHNCXR_0327_1.png is 12x14 and its mask" in reader.problems[0]
    assert "CHNCXR_0009_0_mask.png has no image: expected" in reader.problems[1]


def test_values_that_are_no_mask(shenzhen: Path, save_picture: Save) -> None:
    save_picture(shenzhen / "mask" / "mask" / "CHNCXR_0001_0_mask.png", LUNGS // 2)
    reader = open_reader(_settings(shenzhen))
    with pytest.raises(DataError, match=r"CHNCXR_0001_0_mask\.png holds the values 0, 127;"):
        reader.read_mask(reader.cases[0])


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path, save_picture: Save) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"CHNCXR_0001_0_mask\.png .*Library of Medicine"):
            open_reader(_settings(root))
    save_picture(tmp_path / "CXR_png" / "CHNCXR_0001_0.png", LUNGS)
    with pytest.raises(DataError, match=r"no masks of the Shenzhen radiographs.*yoctoman"):
        open_reader(_settings(tmp_path))
