"""The three forms of files with splits, and what the names in them mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.data.cases import Case, Slice
from nas.data.split_files import Names, cases_named, file_name, read_names
from nas.errors import DataError, UsageError

ONE = {"train": ["a"], "val": ["b"], "test": ["c"], "seed": 4}
FOLDS = [ONE, {"train": ["b"], "val": ["a"], "test": []}]
NNUNET = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a", "b"]}]


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_each_form_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    first = {"train": ("a",), "val": ("b",), "test": ("c",), "seed": 4}
    read = read_names(write(path, ONE))
    assert {name: getattr(read, name) for name in first} == first
    assert read_names(write(path, FOLDS), 0) == Names(**first)  # type: ignore[arg-type]
    assert read_names(path, 1) == Names(train=("b",), val=("a",), test=())
    assert read_names(write(path, NNUNET), 1) == Names(train=("c",), val=("a", "b"), test=None)
    assert read_names(write(path, NNUNET[:1])) == Names(train=("a", "b"), val=("c",), test=None)
    assert read_names(path, 0).val == ("c",)


@pytest.mark.parametrize(
    ("content", "fold", "message"),
    [
        (ONE, 0, r"holds one split.*--fold 0 would be ignored"),
        (FOLDS, None, r"holds 2 folds: choose one by --fold 0, \.\.\., --fold 1\."),
        (FOLDS, 2, "the last is 1: there is no --fold 2"),
        (NNUNET[:1], 1, "holds 1 folds"),
    ],
)
def test_a_fold_that_does_not_fit_the_file(
    tmp_path: Path, content: object, fold: int | None, message: str
) -> None:
    path = write(tmp_path / "s.json", content)
    with pytest.raises(UsageError, match=message) as caught:
        read_names(path, fold)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"train": ["a"], "val": []},
        {**ONE, "extra": 1},
        [{**NNUNET[0], "fold": 3}],
        [{"train": ["a"]}],
        [["a"]],
        {"train": "a", "val": [], "test": []},
        3,
    ],
)
def test_files_that_are_no_split(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / "s.json", content)
    with pytest.raises(DataError, match=r"is not a split: .* Expected .*splits_final\.json") as no:
        read_names(path, 0)
    assert str(path) in str(no.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json cannot be read"):
        read_names(tmp_path / "none.json")
    with pytest.raises(DataError, match="is an empty list"):
        read_names(write(tmp_path / "s.json", []))


def test_a_name_is_an_id_or_a_group() -> None:
    cases = [Case("a1", 0, 0, "p1"), Case("a2", 1, 1, "p1"), Case("p2", 2, 2, "p1")]
    cases.append(Case("a4", 3, 3, "p2"))
    assert cases_named(["a2"], cases) == ["a2"]
    assert cases_named(["p1"], cases) == ["a1", "a2", "p2"]
    assert cases_named(["p2"], cases) == ["p2"]
    assert cases_named(["a4.png", "a1"], cases) == ["a4", "a1"]
    assert cases_named(["nobody"], cases) == ["nobody"]


def test_a_name_is_a_volume_whatever_its_group() -> None:
    def of(volume: str, group: str) -> list[Case]:
        slices = [Slice(Path(volume), n) for n in range(3)]
        return [Case(f"{volume}_{n:03d}", each, each, group) for n, each in enumerate(slices)]

    cases = [*of("vol_1", "anna"), *of("vol_2", "anna"), *of("vol_3", "vol_1")]
    assert cases_named(["vol_1"], cases) == ["vol_1_000", "vol_1_001", "vol_1_002"]
    assert cases_named(["anna"], cases) == [case.id for case in cases[:6]]
    assert cases_named(["vol_2_001"], cases) == ["vol_2_001"]


def test_slices_are_filed_under_their_volume() -> None:
    one = Slice(Path("v.nii"), 3)
    assert file_name(Case("v_1_003", one, one)) == "v_1"
    assert file_name(Case("v_1_003", (one, one), one)) == "v_1"
    assert file_name(Case("v_1_003", Path("v_1_003.png"), one)) == "v_1_003"
    assert file_name(Case("v_1_003", (Path("a.png"), Path("b.png")), Path("c.png"))) == "v_1_003"
