from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.layouts.folder import parse_value_map
from nas.data.readers import open_reader, survey
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]
Save = Callable[[Path, np.ndarray], Path]
REAL = Path(__file__).parents[3] / ".." / "shared" / "data"


def _root(settings: DataSettings) -> Path:
    assert settings.data_root is not None
    return settings.data_root


def test_pairs_come_in_natural_order_with_stored_pixels(make_folder: Make) -> None:
    settings = make_folder(12)
    reader = open_reader(settings)
    assert [case.id for case in reader.cases] == [f"case{n}" for n in range(1, 13)]
    assert reader.classes == ("background", "class 1", "class 2")
    assert reader.channels == 1
    case = reader.cases[9]
    stored = np.asarray(Image.open(_root(settings) / "images" / "case10.png"))
    np.testing.assert_allclose(reader.read_image(case)[0], stored / 255, atol=1e-6)
    mask = reader.read_mask(case)
    assert mask.dtype == np.uint8
    assert (mask == np.asarray(Image.open(_root(settings) / "masks" / "case10.png"))).all()


def test_extensions_may_differ_and_other_files_do_not_count(
    make_folder: Make, save_picture: Save
) -> None:
    settings = make_folder(2)
    images, masks = _root(settings) / "images", _root(settings) / "masks"
    save_picture(images / "x.TIF", np.zeros((8, 9), np.uint16))
    save_picture(masks / "x.bmp", np.ones((8, 9), np.uint8))
    for name in (".hidden.png", "Thumbs.db", "notes.txt"):
        (images / name).write_text("no picture")
    assert [case.id for case in open_reader(settings).cases] == ["case1", "case2", "x"]


def test_value_map_translates_stored_values(make_folder: Make) -> None:
    settings = make_folder(3, values=(0, 128, 255), value_map="0:0,128:2,255:1")
    reader = open_reader(settings)
    assert len(reader.classes) == 3
    stored = np.asarray(Image.open(_root(settings) / "masks" / "case2.png"))
    mask = reader.read_mask(reader.cases[1])
    for value, label in ((0, 0), (128, 2), (255, 1)):
        assert (mask[stored == value] == label).all()


def test_values_may_share_a_class(make_folder: Make) -> None:
    reader = open_reader(make_folder(2, values=(0, 7, 9), value_map="0:0,7:1,9:1"))
    assert reader.classes == ("background", "class 1")
    assert set(np.unique(reader.read_mask(reader.cases[0]))) == {0, 1}


def test_unmapped_values_are_listed_with_advice(make_folder: Make) -> None:
    with pytest.raises(DataError, match=r"values 0, 255;.*--value-map.*0:0,255:1"):
        _ = open_reader(make_folder(2, values=(0, 255))).classes


def test_value_outside_the_map_names_the_file(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(2, values=(0, 255), value_map="0:0,255:1")
    path = save_picture(_root(settings) / "masks" / "case2.png", np.full((40, 48), 77, np.uint8))
    reader = open_reader(settings)
    with pytest.raises(DataError, match=rf"{path.name} holds the values 77; expected 0, 255"):
        reader.read_mask(reader.cases[1])


def test_class_names_fix_the_number_of_classes(make_folder: Make) -> None:
    reader = open_reader(
        make_folder(2, values=(0, 1), class_names=("background", "axon", "myelin"))
    )
    assert reader.classes == ("background", "axon", "myelin")
    assert set(np.unique(reader.read_mask(reader.cases[0]))) == {0, 1}
    reader = open_reader(make_folder(2, values=(0, 2), class_names=("background", "axon")))
    with pytest.raises(DataError, match="values 2; expected 0, 1"):
        reader.read_mask(reader.cases[0])


@pytest.mark.parametrize("names", [("background",), ("a", "a"), ("a", "b", "c")])
def test_class_names_that_do_not_fit(make_folder: Make, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="class names"):
        open_reader(make_folder(2, class_names=names, value_map="0:0,1:1,2:1"))


@pytest.mark.parametrize(
    "text", ["", "0", "0:0,0:1", "0:a", "1:1,2:2", "0:0,5:2", "0:0", "0:0,255:1,", "-1:0,1:1"]
)
def test_value_maps_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="value map"):
        parse_value_map(text)


def test_grey_among_colour_is_read_as_colour(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(3)
    colour = np.zeros((40, 48, 3), np.uint8)
    colour[..., 2] = 255
    save_picture(_root(settings) / "images" / "case2.png", colour)
    reader = open_reader(settings)
    assert reader.channels == 3
    assert [reader.read_image(case).shape[0] for case in reader.cases] == [3, 3, 3]
    assert [reader.describe(case) for case in reader.cases[:2]] == ["8-bit grey", "8-bit RGB"]
    blue = open_reader(DataSettings(dataset="folder", data_root=_root(settings), image_channels=1))
    np.testing.assert_allclose(blue.read_image(blue.cases[1]), 0.114, atol=1e-5)


def test_image_without_mask_and_mask_without_image(make_folder: Make) -> None:
    settings = make_folder(4)
    (_root(settings) / "masks" / "case2.png").unlink()
    (_root(settings) / "images" / "case3.png").unlink()
    problems = survey(settings).problems
    assert len(problems) == 2
    assert "case2.png has no mask" in problems[0]
    assert "case3.png has no image" in problems[1]
    with pytest.raises(DataError, match=r"case2\.png has no mask.*1 more"):
        open_reader(settings)


def test_two_files_of_one_stem(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(3)
    save_picture(_root(settings) / "images" / "case1.bmp", np.zeros((40, 48), np.uint8))
    with pytest.raises(DataError, match=r"case1\.bmp and case1\.png, two files of one stem"):
        open_reader(settings)


def test_different_sizes_of_image_and_mask(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(3)
    save_picture(_root(settings) / "masks" / "case3.png", np.zeros((48, 40), np.uint8))
    with pytest.raises(DataError, match=r"case3\.png is 40x48 and its mask .* is 48x40"):
        open_reader(settings)


def test_missing_folders_and_no_pairs(tmp_path: Path, save_picture: Save) -> None:
    settings = DataSettings(dataset="folder", data_root=tmp_path / "none")
    with pytest.raises(DataError, match="no folder .*none: --data-root"):
        open_reader(settings)
    (tmp_path / "images").mkdir()
    settings = DataSettings(dataset="folder", data_root=tmp_path)
    with pytest.raises(DataError, match="no folder .*masks"):
        open_reader(settings)
    (tmp_path / "masks").mkdir()
    save_picture(tmp_path / "images" / "a.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="1 images and 0 masks"):
        open_reader(settings)
    with pytest.raises(UsageError, match="--data-root"):
        open_reader(DataSettings(dataset="folder"))


def test_damaged_header_is_a_problem_of_its_own(make_folder: Make) -> None:
    settings = make_folder(3)
    (_root(settings) / "images" / "case1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    reader = survey(settings)
    assert [case.id for case in reader.cases] == ["case2", "case3"]
    assert "case1.png" in reader.problems[0]


def test_lists_and_groups(make_folder: Make) -> None:
    settings = make_folder(4)
    root = _root(settings)
    (root / "train.txt").write_text("case1\n# a remark\n\ncase2.png\n")
    (root / "test.txt").write_text("case4\n")
    (root / "g.csv").write_text(
        "file,group\n" + "".join(f"case{n},g{n % 2}\n" for n in (1, 2, 3, 4))
    )
    reader = open_reader(DataSettings(dataset="folder", data_root=root, groups=root / "g.csv"))
    assert reader.lists == {"train": ("case1", "case2"), "val": (), "test": ("case4",)}
    assert [case.group for case in reader.cases] == ["g1", "g0", "g1", "g0"]
    (root / "test.txt").write_text("case9\n")
    with pytest.raises(DataError, match=r"test\.txt names 1 cases .* case9"):
        open_reader(settings)


def test_without_lists_there_is_none(make_folder: Make) -> None:
    assert open_reader(make_folder(2)).lists is None


def test_group_of_every_case_is_needed(make_folder: Make, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("file,group\ncase1,a\n")
    with pytest.raises(DataError, match="no group for 2 of 3"):
        open_reader(make_folder(3, groups=tmp_path / "g.csv"))


@pytest.mark.parametrize(
    ("name", "pairs", "channels"),
    [("axon_myelin_sem", 102, 1), ("usgra_ultrasound", 183, 3), ("msd_hippocampus_2d", 130, 1)],
)
def test_real_images(name: str, pairs: int, channels: int) -> None:
    root = REAL / name
    if not root.is_dir():
        pytest.skip("the real images are not here")
    reader = open_reader(DataSettings(dataset="folder", data_root=root))
    assert len(reader.cases) == pairs
    assert len(reader.classes) == 3
    assert reader.channels == channels
    for case in reader.cases[::20]:
        with Image.open(root / "masks" / f"{case.id}.png") as mask:
            assert (reader.read_mask(case) == np.asarray(mask)).all()
        with Image.open(root / "images" / f"{case.id}.png") as picture:
            colours = np.asarray(picture.convert("RGB"))[..., :channels]
        stored = np.moveaxis(colours, -1, 0) / 255
        np.testing.assert_allclose(reader.read_image(case), stored, atol=1e-6)
