from pathlib import Path

import pytest

from nas.data.groups import read_groups
from nas.errors import DataError


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path / "." if path.is_dir() else path


def test_names_with_and_without_extension_and_a_header(tmp_path: Path) -> None:
    path = _write(tmp_path / "g.csv", "file,animal\na.png, rat 1 \nb,rat 2\n\nother.png,rat 3\n")
    assert read_groups(path, ["a", "b"]) == {"a": "rat 1", "b": "rat 2"}


def test_first_line_may_be_a_case(tmp_path: Path) -> None:
    assert read_groups(_write(tmp_path / "g.csv", "a,1\nb,2\n"), ["a", "b"]) == {"a": "1", "b": "2"}


def test_stem_that_looks_like_an_extension(tmp_path: Path) -> None:
    path = _write(tmp_path / "g.csv", "slice.1,x\nslice.2.png,y\n")
    assert read_groups(path, ["slice.1", "slice.2"]) == {"slice.1": "x", "slice.2": "y"}


def test_a_header_may_say_which_column_the_group_is(tmp_path: Path) -> None:
    path = _write(tmp_path / "g.csv", "file,id,Group\na,1,x\nb,2,y\n")
    assert read_groups(path, ["a", "b"]) == {"a": "x", "b": "y"}
    path = _write(tmp_path / "g.csv", "a,group\nb,other\n")
    assert read_groups(path, ["a", "b"]) == {"a": "group", "b": "other"}
    path = _write(tmp_path / "g.csv", "file,id,group\na,1\n")
    with pytest.raises(DataError, match="Line 2"):
        read_groups(path, ["a"])


def test_a_volume_may_be_named_by_its_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "g.csv", "p.1.nii.gz,x\np2,y\n")
    assert read_groups(path, ["p.1", "p2"]) == {"p.1": "x", "p2": "y"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,1\n", "no group for 1 of 2 cases"),
        ("a,1\na.png,2\nb,1\n", "a two groups, 1 and 2"),
        ("a,1\nb\n", "Line 2"),
        ("a,1\nb, \n", "Line 2"),
    ],
)
def test_bad_lines(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_groups(_write(tmp_path / "g.csv", text), ["a", "b"])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"g\.csv cannot be read"):
        read_groups(tmp_path / "g.csv", ["a"])
