from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.layouts.drive import survey
from nas.data.readers import open_reader
from nas.errors import DataError
from nas.settings import DataSettings

Save = Callable[[Path, np.ndarray], Path]

VESSELS = np.zeros((6, 8), dtype=np.uint8)
VESSELS[2, 1:7] = 255
VIEW = np.zeros((6, 8), dtype=np.uint8)
VIEW[1:5, 1:7] = 255


def _write(root: Path, part: str, number: str, label: bool, save: Save) -> None:
    image = np.full((6, 8, 3), (int(number), 60, 200), dtype=np.uint8)
    save(root / part / "images" / f"{number}_{part}.tif", image)
    save(root / part / "mask" / f"{number}_{part}_mask.gif", VIEW)
    if label:
        save(root / part / "1st_manual" / f"{number}_manual1.gif", VESSELS)


@pytest.fixture
def today(tmp_path: Path, save_picture: Save) -> Path:
    """Three training and two test images as they are handed out now."""
    for number in ("21", "22", "40"):
        _write(tmp_path / "DRIVE", "training", number, True, save_picture)
    for number in ("01", "20"):
        _write(tmp_path / "DRIVE", "test", number, False, save_picture)
    return tmp_path / "DRIVE"


@pytest.fixture
def older(today: Path, save_picture: Save) -> Path:
    """The same with the labels of the test images."""
    for number in ("01", "20"):
        _write(today, "test", number, True, save_picture)
        save_picture(today / "test" / "2nd_manual" / f"{number}_manual2.gif", VIEW)
    return today


def _settings(root: Path | None, **options: object) -> DataSettings:
    return DataSettings(dataset="drive", data_root=root, **options)  # type: ignore[arg-type]


def test_with_labels_of_test_images(older: Path) -> None:
    reader = open_reader(_settings(older))
    assert [case.id for case in reader.cases] == [
        "01_test",
        "20_test",
        "21_training",
        "22_training",
        "40_training",
    ]
    assert reader.lists == {
        "train": ("21_training", "22_training", "40_training"),
        "val": (),
        "test": ("01_test", "20_test"),
    }
    assert reader.classes == ("background", "vessel")
    assert reader.cases[0].files == (
        older / "test" / "images" / "01_test.tif",
        older / "test" / "1st_manual" / "01_manual1.gif",
        older / "test" / "mask" / "01_test_mask.gif",
    )
    assert any("3 images of training/, test are the 2" in note for note in reader.notes)
    assert any("2nd_manual) is not used" in note for note in reader.notes)


def test_without_labels_of_test_images(today: Path) -> None:
    reader = open_reader(_settings(today.parent))
    assert [case.id for case in reader.cases] == ["21_training", "22_training", "40_training"]
    assert reader.lists is None
    assert any("2 images of test/ came without labels and are left out" in n for n in reader.notes)


def test_training_alone(today: Path) -> None:
    (today / "test").rename(today.parent / "elsewhere")
    reader = open_reader(_settings(today))
    assert reader.lists is None
    assert any("no images in test/" in note for note in reader.notes)


def test_pixels_of_image_vessels_and_view(older: Path) -> None:
    reader = open_reader(_settings(older))
    assert reader.channels == 3
    case = reader.cases[3]
    np.testing.assert_allclose(
        reader.read_image(case)[:, 0, 0], np.array([22, 60, 200]) / 255, atol=1e-6
    )
    assert reader.describe(case) == "8-bit RGB"
    assert (reader.read_mask(case) == (VESSELS > 0)).all()
    view = reader.read_field_of_view(case)
    assert view is not None
    assert view.dtype == bool
    assert (view == (VIEW > 0)).all()
    assert reader.read_instances(case) is None


@pytest.mark.parametrize("kind", ["turned palette", "RGB", "1"])
def test_labels_in_other_kinds_of_gif(older: Path, kind: str) -> None:
    path = older / "training" / "1st_manual" / "21_manual1.gif"
    if kind == "turned palette":
        picture = Image.fromarray((VESSELS == 0).astype(np.uint8), mode="P")
        picture.putpalette([255, 255, 255, 0, 0, 0])
    else:
        picture = Image.fromarray(VESSELS).convert(kind)
    picture.save(path)
    reader = open_reader(_settings(older))
    assert (reader.read_mask(reader.cases[2]) == (VESSELS > 0)).all()


def test_other_values_are_told(older: Path, save_picture: Save) -> None:
    save_picture(older / "training" / "mask" / "21_training_mask.gif", VIEW // 2)
    save_picture(older / "training" / "1st_manual" / "21_manual1.gif", VESSELS // 255)
    reader = open_reader(_settings(older))
    with pytest.raises(DataError, match=r"21_manual1\.gif holds the values 0, 1; expected 0, 255"):
        reader.read_mask(reader.cases[2])
    with pytest.raises(DataError, match=r"21_training_mask\.gif holds the values 0, 127;"):
        reader.read_field_of_view(reader.cases[2])


def test_everything_missing_is_told_at_once(older: Path, save_picture: Save) -> None:
    (older / "training" / "1st_manual" / "21_manual1.gif").unlink()
    (older / "training" / "mask" / "21_training_mask.gif").unlink()
    (older / "training" / "images" / "40_training.tif").unlink()
    (older / "test" / "1st_manual" / "20_manual1.gif").unlink()
    (older / "test" / "mask" / "01_test_mask.gif").unlink()
    save_picture(older / "training" / "mask" / "22_training_mask.gif", VIEW[:3])
    reader = survey(_settings(older))
    problems = reader.problems
    assert reader.cases == ()
    assert reader.lists is None
    assert len(problems) == 7
    assert "21_training.tif has no 1st_manual/21_manual1.gif: expected" in problems[0]
    assert "21_training.tif has no mask/21_training_mask.gif: expected" in problems[1]
    assert "22_training.tif is 6x8 and its field of view" in problems[2]
    assert "40_manual1.gif has no image: expected" in problems[3]
    assert "40_training_mask.gif has no image: expected" in problems[4]
    assert "01_test.tif has no mask/01_test_mask.gif" in problems[5]
    assert "20_test.tif has no 1st_manual/20_manual1.gif" in problems[6]


def test_a_damaged_label_is_named(older: Path) -> None:
    path = older / "training" / "1st_manual" / "21_manual1.gif"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"21_manual1\.gif is damaged"):
        open_reader(_settings(older))


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"21_manual1\.gif, .* drive\.grand-challenge\.org"):
            open_reader(_settings(root))
    (tmp_path / "training" / "images").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no DRIVE images"):
        open_reader(_settings(tmp_path))
    (tmp_path / "training.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"holds training\.zip, which is an archive"):
        open_reader(_settings(tmp_path))
