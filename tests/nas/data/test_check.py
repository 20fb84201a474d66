from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.data.check import check
from nas.errors import UsageError
from nas.settings import DataSettings

Make = Callable[..., DataSettings]
Save = Callable[[Path, np.ndarray], Path]


def test_sound_data_pass(make_folder: Make) -> None:
    told: list[tuple[int, int]] = []
    report = check(make_folder(10), lambda done, total: told.append((done, total)))
    assert report.ok
    assert report.cases == 10
    assert report.sizes == {"40x48": 10}
    assert report.kinds == {"8-bit grey": 10}
    assert report.split == {"train": 6, "val": 2, "test": 2}
    assert report.notes == ()
    assert told[-1] == (10, 10)


def test_shares_are_those_of_the_pixels(tmp_path: Path, save_picture: Save) -> None:
    for name, filled in (("a", 8), ("b", 4), ("c", 0), ("d", 0), ("e", 0)):
        mask = np.zeros((4, 4), np.uint8)
        mask.ravel()[:filled] = 1
        save_picture(tmp_path / "masks" / f"{name}.png", mask)
        save_picture(tmp_path / "images" / f"{name}.png", np.full((4, 4), ord(name), np.uint8))
    report = check(DataSettings(dataset="folder", data_root=tmp_path))
    assert report.shares == pytest.approx((68 / 80, 12 / 80))
    assert report.without_foreground == ("c", "d", "e")
    assert any("3 of 5 masks hold background only" in note for note in report.notes)


def test_all_problems_are_listed_and_not_only_the_first(
    make_folder: Make, save_picture: Save, tmp_path: Path
) -> None:
    settings = make_folder(8, class_names=("background", "a", "b"))
    images, masks = tmp_path / "images", tmp_path / "masks"
    (masks / "case1.png").unlink()
    (images / "case2.png").unlink()
    save_picture(masks / "case3.png", np.zeros((5, 5), np.uint8))
    save_picture(masks / "case4.png", np.full((40, 48), 9, np.uint8))
    (images / "case5.png").write_bytes((images / "case5.png").read_bytes()[:-900])
    report = check(settings)
    assert not report.ok
    assert len(report.problems) == 5
    for name, words in (
        ("case1.png", "no mask"),
        ("case2.png", "no image"),
        ("case3.png", "5x5"),
        ("case4.png", "values 9"),
        ("case5.png", "damaged"),
    ):
        assert any(name in problem and words in problem for problem in report.problems), name


def test_unmapped_masks_are_one_problem_not_one_per_mask(make_folder: Make) -> None:
    report = check(make_folder(6, values=(0, 255)))
    assert len(report.problems) == 1
    assert "values 0, 255" in report.problems[0]
    assert report.sizes == {"40x48": 6}


def test_equal_images_are_found_and_are_a_problem_across_subsets(
    make_folder: Make, tmp_path: Path
) -> None:
    settings = make_folder(6)
    (tmp_path / "train.txt").write_text("case1\ncase2\ncase3\n")
    (tmp_path / "test.txt").write_text("case4\ncase5\ncase6\n")
    images = tmp_path / "images"
    (images / "case2.png").write_bytes((images / "case1.png").read_bytes())
    report = check(settings)
    assert report.duplicates == (("case1", "case2"),)
    assert report.ok
    (images / "case5.png").write_bytes((images / "case1.png").read_bytes())
    report = check(settings)
    assert report.duplicates == (("case1", "case2", "case5"),)
    assert any("puts them into test and train" in problem for problem in report.problems)


def test_equal_pixels_of_another_shape_are_another_image(
    tmp_path: Path, save_picture: Save
) -> None:
    for name, shape in (("a", (4, 8)), ("b", (8, 4)), ("c", (2, 16))):
        save_picture(tmp_path / "images" / f"{name}.png", np.full(shape, 9, np.uint8))
        mask = np.arange(32).reshape(shape) % 2
        save_picture(tmp_path / "masks" / f"{name}.png", mask.astype(np.uint8))
    assert check(DataSettings(dataset="folder", data_root=tmp_path)).duplicates == ()


def test_a_split_that_cannot_be_made_is_a_problem(make_folder: Make) -> None:
    report = check(make_folder(6, train_images=50))
    assert report.split == {}
    assert ["There are 6 images; 50" in problem for problem in report.problems] == [True]


def test_nothing_there_is_a_problem_too(tmp_path: Path) -> None:
    report = check(DataSettings(dataset="jsrt", data_root=tmp_path))
    assert not report.ok
    assert report.cases == 0


def test_a_class_that_never_occurs_is_noted(make_folder: Make) -> None:
    report = check(make_folder(6, class_names=("background", "a", "b", "rare")))
    assert report.notes == ("The class rare occurs in no mask.",)


def test_wrong_settings_are_no_problem_of_the_data(make_folder: Make) -> None:
    with pytest.raises(UsageError):
        check(make_folder(6, image_size="huge"))


def test_groups_are_counted(make_folder: Make, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("".join(f"case{n},g{n % 3}\n" for n in range(1, 10)))
    assert check(make_folder(9, groups=tmp_path / "g.csv")).groups == 3
