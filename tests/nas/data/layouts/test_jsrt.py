from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.images import open_image
from nas.data.layouts.jsrt import open_radiograph
from nas.data.readers import open_reader, survey
from nas.errors import DataError, UsageError
from nas.settings import DataSettings


def _write_image(path: Path, stored: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    high, low = stored // 256, stored % 256
    path.write_bytes(np.stack([high, low], axis=-1).astype(np.uint8).tobytes())
    return path


def _radiograph() -> np.ndarray:
    """Bright (0 when stored) but for a dark top right quarter and one row of odd values."""
    stored = np.zeros((2048, 2048), dtype=np.int64)
    stored[:1024, 1024:] = 4095
    stored[2000, ::2] = 1000
    return stored


def _write_organ(root: Path, fold: int, organ: str, case: str, box: tuple[slice, slice]) -> None:
    pixels = np.zeros((1024, 1024), dtype=np.uint8)
    pixels[box] = 255
    path = root / "scratch" / f"fold{fold}" / "masks" / organ / f"{case}.gif"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _write_case(root: Path, case: str, fold: int) -> None:
    _write_image(root / "All247images" / f"{case}.IMG", _radiograph())
    _write_organ(root, fold, "left lung", case, np.s_[100:800, 500:900])
    _write_organ(root, fold, "right lung", case, np.s_[100:800, 100:400])
    _write_organ(root, fold, "heart", case, np.s_[500:900, 350:700])
    _write_organ(root, fold, "left clavicle", case, np.s_[100:150, 500:900])


@pytest.fixture(scope="module")
def jsrt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("jsrt")
    _write_case(root, "JPCLN001", 1)
    _write_case(root, "JPCNN010", 2)
    return root


def test_radiograph_is_big_endian_inverted_and_averaged(tmp_path: Path) -> None:
    image = open_radiograph(_write_image(tmp_path / "JPCLN001.IMG", _radiograph()))
    assert image.shape == (1, 1024, 1024)
    assert image.dtype == np.float32
    assert (image[0, :512, 512:] == 0).all()
    assert (image[0, :1000, :512] == 1).all()
    np.testing.assert_allclose(image[0, 1000], 1 - 1000 / 4095 / 4, atol=1e-6)


def test_few_values_above_12_bits_are_clipped(tmp_path: Path) -> None:
    stored = _radiograph()
    stored[0:2, 0:2] = 5000
    image = open_radiograph(_write_image(tmp_path / "a.IMG", stored))
    assert image[0, 0, 0] == 0
    assert image[0, 0, 1] == 1


def test_swapped_bytes_are_noticed(tmp_path: Path) -> None:
    path = _write_image(tmp_path / "JPCLN002.IMG", _radiograph())
    path.write_bytes(np.frombuffer(path.read_bytes(), dtype=">u2").astype("<u2").tobytes())
    with pytest.raises(DataError, match=r"JPCLN002\.IMG .* another order"):
        open_radiograph(path)


def test_other_file_sizes_are_refused(tmp_path: Path) -> None:
    path = _write_image(tmp_path / "JPCLN003.IMG", _radiograph()[:2047])
    with pytest.raises(DataError, match=r"8,384,512 bytes; .* 8,388,608"):
        open_radiograph(path)
    with pytest.raises(DataError, match="cannot be read"):
        open_radiograph(tmp_path / "none.IMG")


def test_prediction_opens_radiographs_too(jsrt: Path) -> None:
    image = open_image(jsrt / "All247images" / "JPCLN001.IMG", channels=3)
    assert image.shape == (3, 1024, 1024)


def test_reader_finds_images_and_masks_below_the_root(jsrt: Path) -> None:
    reader = open_reader(DataSettings(dataset="jsrt", data_root=jsrt))
    assert [case.id for case in reader.cases] == ["JPCLN001", "JPCNN010"]
    assert [case.stratum for case in reader.cases] == ["nodule", "no nodule"]
    assert len(reader.cases[0].files) == 4
    assert reader.classes == ("background", "heart", "left lung", "right lung")
    for case in reader.cases:
        mask = reader.read_mask(case)
        assert mask.shape == reader.read_image(case).shape[1:]
        assert mask[50, 50] == 0
        assert mask[200, 600] == 2
        assert mask[200, 200] == 3
        assert mask[600, 600] == 1
        assert mask[600, 380] == 1
        assert mask[120, 600] == 2


def test_missing_organs_and_missing_images_are_told(tmp_path: Path) -> None:
    (tmp_path / "JPCLN001.IMG").write_bytes(b"")
    (tmp_path / "JPCLN002.IMG").write_bytes(b"")
    box = np.s_[0:1, 0:1]
    for organ in ("left lung", "right lung", "heart"):
        _write_organ(tmp_path, 1, organ, "JPCLN001", box)
        _write_organ(tmp_path, 1, organ, "JPCLN007", box)
    _write_organ(tmp_path, 2, "left lung", "JPCLN002", box)
    reader = survey(DataSettings(dataset="jsrt", data_root=tmp_path))
    assert [case.id for case in reader.cases] == ["JPCLN001"]
    assert any("JPCLN002.IMG has no mask of right lung and heart" in p for p in reader.problems)
    assert any("has no image JPCLN007.IMG" in p for p in reader.problems)
    assert len(reader.problems) == 2


def test_pictures_outside_the_masks_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "JPCLN001.IMG").write_bytes(b"")
    for organ in ("left lung", "right lung", "heart"):
        _write_organ(tmp_path, 1, organ, "JPCLN001", np.s_[0:1, 0:1])
    lure = tmp_path / "previews" / "heart" / "JPCLN001.gif"
    lure.parent.mkdir(parents=True)
    lure.write_bytes(b"")
    reader = open_reader(DataSettings(dataset="jsrt", data_root=tmp_path))
    assert isinstance(reader.cases[0].mask, tuple)
    assert lure not in reader.cases[0].mask


def test_one_case_twice_is_told(tmp_path: Path) -> None:
    for folder in ("Nodule154images", "All247images"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "JPCLN001.IMG").write_bytes(b"")
    for organ in ("left lung", "right lung", "heart"):
        _write_organ(tmp_path, 1, organ, "JPCLN001", np.s_[0:1, 0:1])
    problems = survey(DataSettings(dataset="jsrt", data_root=tmp_path)).problems
    assert len(problems) == 1
    assert "one case twice" in problems[0]


def test_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "JPCLN001.IMG").write_bytes(b"")
    for organ in ("left lung", "right lung", "heart"):
        _write_organ(tmp_path, 1, organ, "JPCLN001", np.s_[0:1, 0:1])
    heart = tmp_path / "scratch" / "fold1" / "masks" / "heart" / "JPCLN001.gif"
    Image.fromarray(np.zeros((512, 1024), dtype=np.uint8)).save(heart)
    reader = open_reader(DataSettings(dataset="jsrt", data_root=tmp_path))
    with pytest.raises(DataError, match=r"JPCLN001\.gif is 512x1024"):
        reader.read_mask(reader.cases[0])


def test_mask_with_other_values_is_refused(tmp_path: Path) -> None:
    (tmp_path / "JPCLN001.IMG").write_bytes(b"")
    for organ in ("left lung", "right lung", "heart"):
        _write_organ(tmp_path, 1, organ, "JPCLN001", np.s_[0:1, 0:1])
    heart = tmp_path / "scratch" / "fold1" / "masks" / "heart" / "JPCLN001.gif"
    Image.fromarray(np.full((1024, 1024), 100, dtype=np.uint8)).save(heart)
    reader = open_reader(DataSettings(dataset="jsrt", data_root=tmp_path))
    with pytest.raises(DataError, match=r"JPCLN001\.gif holds the values 100; expected 0, 255"):
        reader.read_mask(reader.cases[0])


def test_swapped_bytes_are_told_by_the_reader(jsrt: Path, tmp_path: Path) -> None:
    settings = DataSettings(dataset="jsrt", data_root=tmp_path)
    content = (jsrt / "All247images" / "JPCLN001.IMG").read_bytes()
    swapped = np.frombuffer(content, dtype=">u2").astype("<u2").tobytes()
    (tmp_path / "JPCLN001.IMG").write_bytes(swapped)
    for organ in ("left lung", "right lung", "heart"):
        _write_organ(tmp_path, 1, organ, "JPCLN001", np.s_[0:1, 0:1])
    reader = open_reader(settings)
    with pytest.raises(DataError, match=r"JPCLN001\.IMG .* another order"):
        reader.read_image(reader.cases[0])


def test_groups_of_the_user(jsrt: Path, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("JPCLN001.IMG,a\nJPCNN010.IMG,b\n")
    settings = DataSettings(dataset="jsrt", data_root=jsrt, groups=tmp_path / "g.csv")
    assert [case.group for case in open_reader(settings).cases] == ["a", "b"]


def test_nothing_found_is_answered_with_the_layout(tmp_path: Path) -> None:
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"JPCLN001\.IMG .* scratch/fold1/masks .* phantom"):
            open_reader(DataSettings(dataset="jsrt", data_root=root))


def test_options_without_meaning_are_refused(jsrt: Path) -> None:
    with pytest.raises(UsageError, match="--white means nothing"):
        open_reader(DataSettings(dataset="jsrt", data_root=jsrt, white=4095))
