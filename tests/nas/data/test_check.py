from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nas.data import check as module
from nas.data.cases import UNKNOWN, Case, Subset
from nas.data.check import Objects, Report, check, examine
from nas.data.findings import Seen
from nas.data.readers import survey
from nas.data.splits import Split, make_split, save_split
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
    assert report.near_duplicates == ()
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


def test_a_class_that_never_occurs_is_a_problem(make_folder: Make) -> None:
    report = check(make_folder(10, values=(0, 1), class_names=("background", "cell", "nucleus")))
    (problem,) = report.problems
    assert problem.startswith("The class nucleus occurs in no mask")
    numbered = check(make_folder(10, values=(0, 1), value_map="0:0,1:1,7:2"))
    assert "The class 2 occurs in no mask" in "".join(numbered.problems)


def test_colours_of_16_bits_are_worth_a_note(
    make_folder: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_folder(6)
    assert not any("16-bit RGB" in note for note in check(settings).notes)
    monkeypatch.setattr("nas.data.layouts.layout.read_header", lambda path: "16-bit RGB")
    assert "16-bit RGB images are read to 8 bits for each colour." in check(settings).notes


def test_wrong_settings_are_no_problem_of_the_data(make_folder: Make) -> None:
    with pytest.raises(UsageError):
        check(make_folder(6, image_size="huge"))


def test_groups_are_counted(make_folder: Make, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("".join(f"case{n},g{n % 3}\n" for n in range(1, 10)))
    assert check(make_folder(9, groups=tmp_path / "g.csv")).groups == 3


def texture(seed: int) -> np.ndarray:
    """(96, 96) grey, 8 bits, with details of some pixels."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96)), 1.2)
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


@dataclass
class InMemory:
    """A reader of textures with given masks; those that are alike have one texture, times this."""

    masks: dict[str, np.ndarray]
    groups: Mapping[str, str] | None = None
    lists: Mapping[Subset, tuple[str, ...]] | None = None
    notes: tuple[str, ...] = ("A note of the reader.",)
    name: str = "drive"
    classes: tuple[str, ...] = ("background", "a", "b")
    channels: int = 1
    problems: tuple[str, ...] = ()
    alike: Mapping[str, float] | None = None

    @property
    def cases(self) -> tuple[Case, ...]:
        groups = self.groups or {}
        return tuple(Case(name, 0, 0, group=groups.get(name)) for name in self.masks)

    def read_image(self, case: Case) -> np.ndarray:
        alike = self.alike or {}
        seed = 0 if case.id in alike else 1 + list(self.masks).index(case.id)
        gain = alike.get(case.id, 1.0)
        return (texture(seed) * gain / 255).astype(np.float32)[None]

    def read_mask(self, case: Case) -> np.ndarray:
        return self.masks[case.id]

    def read_instances(self, case: Case) -> np.ndarray | None:
        return None

    def read_field_of_view(self, case: Case) -> np.ndarray | None:
        return None

    def describe(self, case: Case) -> str:
        return "8-bit grey"


Read = Callable[..., Report]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The report on masks of 96 x 96 pixels that are made of the shares of their classes."""

    def read(masks: Mapping[str, str], settings: DataSettings, **options: object) -> Report:
        planes = {
            name: np.resize([UNKNOWN if c == "?" else int(c) for c in mask], (96, 96))
            for name, mask in masks.items()
        }
        planes = {name: plane.astype(np.uint8) for name, plane in planes.items()}
        reader = InMemory(planes, **options)  # type: ignore[arg-type]
        monkeypatch.setattr(module, "survey", lambda settings: reader)
        return check(settings)

    return read


LISTS: dict[Subset, tuple[str, ...]] = {
    "train": ("t1", "t2", "t3"),
    "val": ("v1",),
    "test": ("x1", "x2"),
}
NAMES = [name for ids in LISTS.values() for name in ids]
OWNERS = DataSettings(dataset="drive")


def test_the_shares_of_each_subset_show_an_unlucky_split(checked: Read) -> None:
    masks = {name: "00001112" if name[0] == "t" else "00000012" for name in NAMES}
    report = checked(masks | {"x2": "0012????"}, OWNERS, lists=LISTS)
    assert report.split_shares["train"] == pytest.approx((1 / 2, 3 / 8, 1 / 8))
    assert report.split_shares["val"] == pytest.approx((6 / 8, 1 / 8, 1 / 8))
    assert report.split_shares["test"] == pytest.approx((8 / 16, 2 / 16, 2 / 16))
    assert report.unknown == pytest.approx(4 / 48)
    assert report.notes == (
        "A note of the reader.",
        "The class of 8.33 % of the pixels is unknown, in 1 of 6 masks, such as x2: they count in "
        "no loss and no score.",
    )


def test_a_class_that_is_in_no_training_mask_is_a_problem(checked: Read) -> None:
    masks = dict.fromkeys(NAMES, "0012")
    report = checked(masks | dict.fromkeys(LISTS["train"], "0011"), OWNERS, lists=LISTS)
    assert [problem[:55] for problem in report.problems] == [
        "The class b occurs in no training mask and cannot be le"
    ]
    report = checked(masks | {"v1": "02"}, OWNERS, lists=LISTS)
    assert report.ok
    assert "The class a occurs in no mask of val: it has no score there." in report.notes
    report = checked(dict.fromkeys(NAMES, "01"), OWNERS, lists=LISTS)
    (problem,) = report.problems
    assert problem.startswith("The class b occurs in no mask, so")


def test_nearly_the_same_images_are_a_problem_where_the_split_divides_them(
    checked: Read, tmp_path: Path
) -> None:
    masks = dict.fromkeys(NAMES, "0012")
    save_split(Split(**LISTS), tmp_path / "split.json")  # type: ignore[arg-type]
    own = DataSettings(dataset="folder", split=tmp_path / "split.json")
    report = checked(masks, own, alike={"t1": 1, "t3": 0.8, "x2": 0.9}, name="folder")
    assert report.near_duplicates == (("t1", "t3", "x2"),)
    assert report.duplicates == ()
    assert [problem.partition(":")[0] for problem in report.problems] == [
        "The images of t1 (train), t3 (train), x2 (test) are nearly the same, and the split "
        "divides them"
    ]
    assert "--groups" in report.problems[0]
    assert not any("nearly the same" in note for note in report.notes)
    report = checked(masks, own, alike={"t1": 1, "t3": 1, "x2": 0.9}, name="folder")
    assert report.duplicates == (("t1", "t3"),)
    assert report.near_duplicates == (("t1", "t3", "x2"),)
    report = checked(masks, own, alike={"t1": 1, "t3": 0.8}, name="folder")
    assert report.ok
    assert any("1 group of images are nearly the same within one sub" in n for n in report.notes)
    groups = {"t1": "g", "x2": "g"}
    report = checked(masks, OWNERS, alike={"t1": 1, "x2": 0.9}, groups=groups, lists=LISTS)
    assert report.near_duplicates == ()


def test_what_the_owners_of_the_data_divide_is_a_note(checked: Read, tmp_path: Path) -> None:
    masks, alike = dict.fromkeys(NAMES, "0012"), {"t1": 1, "x2": 0.9}
    report = checked(masks, OWNERS, alike=alike, lists=LISTS)
    assert report.ok
    assert any("came with the data divides 1 group of images" in note for note in report.notes)
    save_split(Split(**LISTS), tmp_path / "split.json")  # type: ignore[arg-type]
    own = DataSettings(dataset="drive", split=tmp_path / "split.json")
    assert not checked(masks, own, alike=alike, lists=LISTS).ok
    groups = {"t1": "g", "x2": "g"}
    report = checked(masks, OWNERS, groups=groups, lists=LISTS)
    assert report.ok
    assert any("divides 1 of 1 groups, such as g" in note for note in report.notes)


def test_a_group_that_the_users_split_divides_is_a_problem(
    make_folder: Make, tmp_path: Path
) -> None:
    (tmp_path / "g.csv").write_text("".join(f"case{n},g{n // 2}\n" for n in range(1, 6)))
    ids = [f"case{n}" for n in range(1, 6)]
    save_split(Split(train=tuple(ids[:4]), val=(), test=tuple(ids[4:])), tmp_path / "s.json")
    report = check(make_folder(5, groups=tmp_path / "g.csv", split=tmp_path / "s.json"))
    assert len(report.problems) == 1
    assert "divides the group g2 between train and test" in report.problems[0]


def test_objects_and_fields_of_view_are_read(make_folder: Make, save_picture: Save) -> None:
    settings = make_folder(4, values=(0, 1))
    assert settings.data_root is not None
    rows = np.arange(40)[:, None] // 12 * np.ones((1, 48), int)
    for number in range(1, 5):
        mask = np.where(rows < number, rows, 0)
        save_picture(settings.data_root / "masks" / f"case{number}.png", (mask > 0).astype("u1"))
        save_picture(settings.data_root / "instances" / f"case{number}.png", mask.astype("u1"))
        view = (255 * (rows < 3)).astype(np.uint8)
        save_picture(settings.data_root / "fov" / f"case{number}.png", view)
    report = check(settings)
    assert report.objects == Objects(cases=4, count=6, smallest=192, median=576.0, without=1)
    assert report.field_of_view == pytest.approx(0.9)
    blank = np.zeros((40, 48), np.uint8)
    save_picture(settings.data_root / "fov" / "case2.png", blank)
    save_picture(settings.data_root / "masks" / "case3.png", blank)
    problems = check(settings).problems
    assert any("field of view of case2 is empty" in problem for problem in problems)
    assert any("1152 pixels of objects" in problem for problem in problems)


def test_the_verdict_is_a_sentence() -> None:
    assert Report(dataset="folder", cases=1).verdict == "Ready to train on."
    assert Report(dataset="folder", cases=1, problems=("A.",)).verdict.endswith(
        "1 problem to mend."
    )
    report = Report(dataset="folder", cases=1, problems=("A.", "B."))
    assert report.verdict == "Not ready to train on: 2 problems to mend."


def test_a_report_survives_json(make_folder: Make) -> None:
    report = check(make_folder(6))
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_who_looks_sees_each_case_once_and_the_split(make_folder: Make) -> None:
    seen: list[Seen] = []
    examined = examine(make_folder(6), look=seen.append)
    assert [each.case for each in seen] == list(examined.cases)
    assert all(each.image is not None and each.mask is not None for each in seen)
    assert examined.split is not None
    assert len(examined.split.train) == examined.report.split["train"]


def test_images_without_masks_are_read_too(make_folder: Make, tmp_path: Path) -> None:
    settings = make_folder(6)
    split = make_split(survey(settings), settings)
    more = tmp_path / "more"
    more.mkdir()
    source = tmp_path / "images" / f"{split.train[0]}.png"
    (more / "good.png").write_bytes(source.read_bytes())
    asked = msgspec.structs.replace(settings, unlabelled=more)
    assert check(asked).ok
    (more / "cut.png").write_bytes(source.read_bytes()[:300])
    (more / "text.png").write_text("none")
    assert [name in "".join(check(asked).problems) for name in ("good", "cut", "text")] == [
        False,
        True,
        True,
    ]
    held_out = msgspec.structs.replace(settings, unlabelled=tmp_path / "images")
    (problem,) = check(held_out).problems
    assert "is the validation or test image" in problem
    (problem,) = check(msgspec.structs.replace(settings, unlabelled_images=99)).problems
    assert "--unlabelled-images 99" in problem


def test_preprocessing_that_cannot_be_is_refused(make_folder: Make) -> None:
    with pytest.raises(UsageError, match="--image-channel green"):
        check(make_folder(6, image_channel="green"))
