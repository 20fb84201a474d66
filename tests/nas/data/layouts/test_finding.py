import re
from pathlib import Path

import pytest

from nas.data.layouts.finding import files_by_id, find_folder, holds, subfolders
from nas.errors import DataError


def _is_set(folder: Path) -> bool:
    return (folder / "here.txt").is_file()


def _mark(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "here.txt").write_text("")
    return folder


def test_the_root_itself_comes_before_what_is_below(tmp_path: Path) -> None:
    _mark(tmp_path / "a")
    assert find_folder(tmp_path, _is_set, "it") == tmp_path / "a"
    _mark(tmp_path)
    assert find_folder(tmp_path, _is_set, "it") == tmp_path


def test_folders_are_found_three_levels_down_and_no_further(tmp_path: Path) -> None:
    deep = _mark(tmp_path / "a" / "b" / "c")
    assert find_folder(tmp_path, _is_set, "it") == deep
    assert find_folder(tmp_path.parent, lambda folder: folder == deep, "it") is None
    assert find_folder(tmp_path / "a" / "b", lambda folder: folder.name == "a", "it") is None


def test_several_of_one_level_are_refused(tmp_path: Path) -> None:
    _mark(tmp_path / "a")
    _mark(tmp_path / "b")
    with pytest.raises(DataError, match=r"holds it more than once, in .*a and in .*b: name one"):
        find_folder(tmp_path, _is_set, "it")


def test_a_link_to_the_same_folder_is_no_second_one(tmp_path: Path) -> None:
    _mark(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    found = find_folder(tmp_path, _is_set, "it")
    assert found is not None
    assert found.resolve() == tmp_path / "a"


def test_hidden_folders_do_not_count(tmp_path: Path) -> None:
    for name in (".git", "__MACOSX", "x10", "x9"):
        _mark(tmp_path / name)
    assert [folder.name for folder in subfolders(tmp_path)] == ["x9", "x10"]


def test_files_by_id_in_natural_order(tmp_path: Path) -> None:
    for name in ("x10.png", "x9.png", "._x9.png", "x9.txt", "yx9.png"):
        (tmp_path / name).write_text("")
    (tmp_path / "x8.png").mkdir()
    pattern = re.compile(r"(x\d+)\.png")
    problems: list[str] = []
    found = files_by_id(tmp_path, pattern, problems)
    assert list(found.items()) == [("x9", tmp_path / "x9.png"), ("x10", tmp_path / "x10.png")]
    assert problems == []
    assert holds(tmp_path, pattern)
    assert not holds(tmp_path, re.compile(r"x\d+"))
    assert files_by_id(tmp_path / "none", pattern, problems) == {}


def test_two_files_of_one_id(tmp_path: Path) -> None:
    for name in ("x1.png", "x1.PNG"):
        (tmp_path / name).write_text("")
    problems: list[str] = []
    files_by_id(tmp_path, re.compile(r"(x\d+)\.(?i:png)"), problems)
    assert len(problems) == 1
    assert "x1.PNG and x1.png, two files for one case" in problems[0]
