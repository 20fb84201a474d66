from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from nas.data.cases import UNKNOWN
from nas.data.readers import open_reader, survey
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]
Save = Callable[[Path, np.ndarray], Path]
REAL = Path(__file__).parents[4] / ".." / "shared" / "data"


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
    with pytest.raises(DataError, match=r"values 0, 255 \(255 in .*--value-map.*0:0,255:1"):
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
    with pytest.raises(DataError, match="no folder .*none; --dataset folder needs --data-root DIR"):
        open_reader(settings)
    (tmp_path / "images").mkdir()
    settings = DataSettings(dataset="folder", data_root=tmp_path)
    with pytest.raises(DataError, match="holds no folder masks/: expected are images/ and masks/"):
        open_reader(settings)
    (tmp_path / "masks").mkdir()
    save_picture(tmp_path / "images" / "a.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"No image in .*images has a mask in .*masks: pairs"):
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


def test_the_class_255_stands_for_unknown(make_folder: Make) -> None:
    settings = make_folder(2, values=(0, 3, 9), value_map="0:0,3:1,9:255")
    reader = open_reader(settings)
    assert reader.classes == ("background", "class 1")
    stored = np.asarray(Image.open(_root(settings) / "masks" / "case1.png"))
    mask = reader.read_mask(reader.cases[0])
    for value, label in ((0, 0), (3, 1), (9, UNKNOWN)):
        assert (mask[stored == value] == label).all()


def _objects(settings: DataSettings, save: Save) -> None:
    """Instances of 16 bits where the masks are 2, and fields of view."""
    root = _root(settings)
    for path in sorted((root / "masks").iterdir()):
        mask = np.asarray(Image.open(path))
        numbers = np.where(mask == 2, 300 + np.arange(48, dtype=np.uint16), 0)
        save(root / "instances" / path.name, numbers.astype(np.uint16))
        save(root / "fov" / path.name, (np.indices(mask.shape)[0] > 9).astype(np.uint8) * 255)


def test_instances_and_field_of_view(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(3)
    bare = open_reader(settings)
    assert bare.read_instances(bare.cases[0]) is None
    assert bare.read_field_of_view(bare.cases[0]) is None
    assert bare.notes == ()
    _objects(settings, save_picture)
    reader = open_reader(settings)
    case = reader.cases[1]
    assert case.files == tuple(
        _root(settings) / folder / "case2.png" for folder in ("images", "masks", "instances", "fov")
    )
    numbers = reader.read_instances(case)
    assert numbers is not None
    assert numbers.dtype == np.int32
    expected = np.where(reader.read_mask(case) == 2, np.arange(300, 348), 0)
    assert (numbers == expected).all()
    view = reader.read_field_of_view(case)
    assert view is not None
    assert view.dtype == bool
    assert (view[10:]).all()
    assert not view[:10].any()
    assert any("instances/" in note for note in reader.notes)
    assert any("fov/" in note for note in reader.notes)


def test_instances_must_agree_with_the_mask(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(3)
    _objects(settings, save_picture)
    mask = np.asarray(Image.open(_root(settings) / "masks" / "case3.png")).copy()
    row, column = np.argwhere(mask == 2)[5]
    mask[row, column] = 0
    save_picture(_root(settings) / "masks" / "case3.png", mask)
    reader = open_reader(settings)
    assert reader.read_instances(reader.cases[1]) is not None
    with pytest.raises(DataError, match=r"instances.case3\.png has 1 pixels of objects where"):
        reader.read_instances(reader.cases[2])


def test_missing_and_odd_files_beside_are_told(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(3)
    _objects(settings, save_picture)
    root = _root(settings)
    (root / "instances" / "case1.png").unlink()
    save_picture(root / "instances" / "other.png", np.zeros((40, 48), np.uint8))
    save_picture(root / "fov" / "case2.png", np.zeros((48, 40), np.uint8))
    problems = survey(settings).problems
    assert len(problems) == 3
    assert "case1.png has no file in instances/: expected" in problems[0]
    assert "other.png has no image of the same stem" in problems[1]
    assert "case2.png is 40x48 and its file in fov/" in problems[2]


def _subsets(settings: DataSettings, *subsets: str) -> Path:
    """Spread the cases of a folder over subset folders, in turn."""
    root = _root(settings)
    for number, image in enumerate(sorted((root / "images").iterdir())):
        for name in ("images", "masks"):
            place = root / subsets[number % len(subsets)] / name
            place.mkdir(parents=True, exist_ok=True)
            (root / name / image.name).rename(place / image.name)
    (root / "images").rmdir()
    (root / "masks").rmdir()
    return root


def test_subsets_as_folders(make_folder: Make) -> None:
    settings = make_folder(5)
    root = _subsets(settings, "train", "val", "test")
    reader = open_reader(settings)
    assert reader.lists == {
        "train": ("case1", "case4"),
        "val": ("case2", "case5"),
        "test": ("case3",),
    }
    assert [case.id for case in reader.cases] == [f"case{n}" for n in range(1, 6)]
    assert reader.cases[1].image == root / "val" / "images" / "case2.png"
    assert any("train/, val/, test/, which are the split" in note for note in reader.notes)


def test_stems_that_clash_get_their_subset_in_front(make_folder: Make) -> None:
    settings = make_folder(4)
    root = _subsets(settings, "train", "test")
    for name in ("images", "masks"):
        (root / "test" / name / "case2.png").rename(root / "test" / name / "case1.png")
    reader = open_reader(settings)
    assert reader.lists == {
        "train": ("train_case1", "case3"),
        "val": (),
        "test": ("test_case1", "case4"),
    }


def test_a_split_twice_is_refused(make_folder: Make) -> None:
    settings = make_folder(4)
    root = _subsets(settings, "train", "test")
    (root / "val.txt").write_text("case1\n")
    with pytest.raises(DataError, match=r"a split twice, by folders and by val\.txt"):
        open_reader(settings)


def test_a_prefix_that_is_taken_is_told(make_folder: Make) -> None:
    settings = make_folder(4)
    root = _subsets(settings, "train", "test")
    for name in ("images", "masks"):
        (root / "test" / name / "case2.png").rename(root / "test" / name / "case1.png")
        (root / "train" / name / "case3.png").rename(root / "train" / name / "test_case1.png")
    problems = survey(settings).problems
    assert len(problems) == 1
    assert "two files for one case, test_case1" in problems[0]


def test_options_of_volumes_are_refused(make_folder: Make) -> None:
    for options in ({"slices": "coronal"}, {"empty_slices": "drop"}, {"window": (0.0, 9.0)}):
        name = "--" + next(iter(options)).replace("_", "-")
        with pytest.raises(UsageError, match=f"{name} is for .*leave it out"):
            open_reader(make_folder(2, **options))


def test_archives_are_named(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(3)
    (_root(settings) / "images" / "more.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"more\.zip is an archive where images are expected"):
        open_reader(settings)
    for path in [*(_root(settings) / "images").glob("*.png")]:
        path.unlink()
    with pytest.raises(DataError, match=r"pairs .*more\.zip is an archive where images"):
        open_reader(settings)
    packed = tmp_path / "all.tar.gz"
    packed.write_bytes(b"")
    with pytest.raises(DataError, match="is an archive: unpack it"):
        open_reader(DataSettings(dataset="folder", data_root=packed))


def test_real_instances_agree_with_their_masks() -> None:
    root = REAL / "usiigaci_phase_contrast"
    if not root.is_dir():
        pytest.skip("the real images are not here")
    reader = open_reader(DataSettings(dataset="folder", data_root=root))
    assert len(reader.cases) == 35
    for case in reader.cases[::7]:
        numbers = reader.read_instances(case)
        assert numbers is not None
        with Image.open(root / "instances" / f"{case.id}.png") as stored:
            assert (numbers == np.asarray(stored)).all()
        assert len(np.unique(numbers)) > 5
        assert ((numbers > 0) == (reader.read_mask(case) > 0)).all()


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


def test_the_mask_with_the_rarest_value_is_named(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(4, values=(0, 1))
    odd = np.zeros((40, 48), np.uint8)
    odd[3, 3] = 77
    path = save_picture(_root(settings) / "masks" / "case3.png", odd)
    with pytest.raises(DataError) as caught:
        _ = open_reader(settings).classes
    assert f"hold the values 0, 1, 77 (77 in {path}); expected" in str(caught.value)


def test_groups_that_are_there_and_not_used_are_told(make_folder: Make) -> None:
    settings = make_folder(2)
    assert survey(settings).notes == ()
    groups = _root(settings) / "groups.csv"
    groups.write_text("case1,a\ncase2,b\n")
    (note,) = survey(settings).notes
    assert f"--groups {groups}" in note
    assert survey(msgspec.structs.replace(settings, groups=groups)).notes == ()
