from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.data.layouts.paired import files_of, pairs_in, places_in
from nas.errors import DataError

Save = Callable[[Path, np.ndarray], Path]
PIXELS = np.zeros((3, 4), np.uint8)


def _folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


def test_directly_in_the_root(tmp_path: Path) -> None:
    _folders(tmp_path, "images", "masks")
    places, notes = places_in(tmp_path)
    assert places == [(None, tmp_path / "images", tmp_path / "masks", None, None)]
    assert notes == []


def test_names_of_mmsegmentation(tmp_path: Path) -> None:
    _folders(tmp_path, "img_dir", "ann_dir", "fov")
    places, notes = places_in(tmp_path)
    assert places == [
        (None, tmp_path / "img_dir", tmp_path / "ann_dir", None, tmp_path / "fov"),
    ]
    assert notes[0] == "img_dir/ and ann_dir/ hold all cases."
    assert "fov/" in notes[1]


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("img_dir", "ann_dir")])
def test_subsets_around_and_inside(tmp_path: Path, images: str, masks: str) -> None:
    around, inside = tmp_path / "around", tmp_path / "inside"
    for subset in ("train", "test"):
        _folders(around, f"{subset}/{images}", f"{subset}/{masks}", f"{subset}/instances")
        _folders(inside, f"{images}/{subset}", f"{masks}/{subset}", f"instances/{subset}")
    places, notes = places_in(around)
    assert [place.subset for place in places] == ["train", "test"]
    assert places[1].masks == around / "test" / masks
    assert places[1].instances == around / "test" / "instances"
    assert notes[0] == (f"{images}/ and {masks}/ stand in train/, test/, which are the split.")
    places, notes = places_in(inside)
    assert [place.subset for place in places] == ["train", "test"]
    assert places[0].images == inside / images / "train"
    assert places[0].instances == inside / "instances" / "train"
    assert notes[0] == f"{images}/ and {masks}/ hold train/, test/, which are the split."


@pytest.mark.parametrize(
    "names",
    [
        ("images", "masks", "img_dir", "ann_dir"),
        ("images", "masks", "train/images", "train/masks"),
        ("img_dir/train", "ann_dir/train", "val/images", "val/masks"),
    ],
)
def test_two_forms_at_once_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    _folders(tmp_path, *names)
    with pytest.raises(DataError, match=r"arranged in two ways: .*, and .*\. Keep one"):
        places_in(tmp_path)


@pytest.mark.parametrize(
    ("there", "missing"),
    [("images", "masks"), ("masks", "images"), ("img_dir", "ann_dir"), ("val/masks", "images")],
)
def test_half_of_a_form_names_the_other_half(tmp_path: Path, there: str, missing: str) -> None:
    _folders(tmp_path, there)
    with pytest.raises(DataError, match=rf"holds no folder {missing}/: expected are"):
        places_in(tmp_path)


def test_archives_in_place_of_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"no images/ and masks/.*images\.zip, which is an archive"):
        places_in(tmp_path)


@pytest.mark.parametrize("ending", ["", "_mask", "_anno"])
def test_what_stands_behind_the_stem(tmp_path: Path, save_picture: Save, ending: str) -> None:
    for number in (1, 2, 10):
        save_picture(tmp_path / "images" / f"x{number}.png", PIXELS)
        save_picture(tmp_path / "masks" / f"x{number}{ending}.bmp", PIXELS)
    save_picture(tmp_path / "images" / "x3.png", PIXELS)
    save_picture(tmp_path / "masks" / f"x4{ending}.png", PIXELS)
    problems: list[str] = []
    pairs, found = pairs_in(places_in(tmp_path)[0][0], problems)
    assert found == ending
    assert [pair.stem for pair in pairs] == ["x1", "x2", "x10"]
    assert pairs[2].mask == tmp_path / "masks" / f"x10{ending}.bmp"
    assert len(problems) == 2
    assert f"x3.png has no mask: expected {tmp_path / 'masks' / 'x3'}{ending}.png" in problems[0]
    assert f"x4{ending}.png has no image of the same stem" in problems[1]


def test_files_beside_images_and_masks(tmp_path: Path, save_picture: Save) -> None:
    for folder in ("images", "masks", "instances", "fov"):
        save_picture(tmp_path / folder / "a.png", PIXELS)
    problems: list[str] = []
    (pair,), _ = pairs_in(places_in(tmp_path)[0][0], problems)
    assert problems == []
    assert pair == (
        "a",
        None,
        *(tmp_path / folder / "a.png" for folder in ("images", "masks", "instances", "fov")),
    )


def test_images_that_end_in_mask_themselves(tmp_path: Path, save_picture: Save) -> None:
    for name in ("face_mask", "gas_mask", "x"):
        save_picture(tmp_path / "images" / f"{name}.png", PIXELS)
        save_picture(tmp_path / "masks" / f"{name}.png", PIXELS)
    problems: list[str] = []
    pairs, found = pairs_in(places_in(tmp_path)[0][0], problems)
    assert (found, problems) == ("", [])
    assert [pair.stem for pair in pairs] == ["face_mask", "gas_mask", "x"]


def test_files_of_a_folder(tmp_path: Path, save_picture: Save) -> None:
    save_picture(tmp_path / "a.png", PIXELS)
    save_picture(tmp_path / "b.png", PIXELS)
    save_picture(tmp_path / "b.TIF", PIXELS)
    for name in (".c.png", "notes.txt", "pack.7z"):
        (tmp_path / name).write_text("")
    problems: list[str] = []
    assert files_of(tmp_path, problems) == {"a": tmp_path / "a.png"}
    assert len(problems) == 2
    assert "pack.7z is an archive where images are expected: unpack it there." in problems[0]
    assert "b.TIF and b.png, two files of one stem: keep one of them." in problems[1]
