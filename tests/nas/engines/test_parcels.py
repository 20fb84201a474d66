"""Folders come home whole, and the paths in their files are those of where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nas.engines import parcels
from nas.engines.parcels import bring_home, finish, journal, pack, relocate, unpack


def tree(root: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its content; None for folders."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def write(root: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_a_folder_travels_whole_without_what_is_half_written(tmp_path: Path) -> None:
    there = write(tmp_path / "there", a=b"1", deep__er__b=bytes(range(256)))
    (there / "empty").mkdir()
    expected = tree(there)
    write(there, **{".x.unfinished": b"half", ".lock": b"", ".engine": b"", "deep__.stop": b""})
    unpack(pack(there), tmp_path / "here")
    assert tree(tmp_path / "here") == expected
    assert sorted(each.name for each in tmp_path.iterdir()) == ["here", "there"]


def test_links_travel_as_what_they_point_to(tmp_path: Path) -> None:
    write(tmp_path / "real", images__a=b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real/again").symlink_to(tmp_path / "real/images/a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/inner").symlink_to(tmp_path / "real/images")
    unpack(pack(tmp_path / "link"), tmp_path / "x")
    unpack(pack(tmp_path / "data"), tmp_path / "y")
    assert tree(tmp_path / "x") == {"images": None, "images/a": b"1", "again": b"1"}
    assert tree(tmp_path / "y") == {"inner": None, "inner/a": b"1"}


def test_what_comes_home_replaces_the_folder(tmp_path: Path) -> None:
    home = write(tmp_path / "home", kept=b"old", gone=b"1", sub__gone=b"2", **{".lock": b""})
    there = write(tmp_path / "there", kept=b"new", new__file=b"3")
    bring_home(pack(there), home)
    assert tree(home) == {"kept": b"new", "new": None, "new/file": b"3", ".lock": b""}
    assert not journal(home).exists()


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_arrival_that_was_cut_off_is_finished_later(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after so many files are in place."""
    home = write(tmp_path / "home", a=b"old", b=b"old", c=b"old", gone=b"")
    there = write(tmp_path / "there", a=b"new", b=b"new", c=b"new")
    content = pack(there)
    real, moved = os.replace, 0

    def replace(source: str, target: str) -> None:
        nonlocal moved
        if Path(target).parent == home:
            if moved == after:
                raise KeyboardInterrupt
            moved += 1
        real(source, target)

    monkeypatch.setattr(parcels.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        bring_home(content, home)
    monkeypatch.undo()
    assert [each.read_bytes() for each in sorted(home.iterdir())].count(b"new") == after
    finish(home)
    assert tree(home) == tree(there)
    finish(home)


def test_before_the_archive_is_home_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(tmp_path / "home", a=b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nas.runs.os.replace", fail)
    with pytest.raises(Exception, match="No space left"):
        bring_home(pack(write(tmp_path / "there", a=b"new")), home)
    monkeypatch.undo()
    finish(home)
    assert tree(home) == {"a": b"old"}


def test_paths_in_files_move_and_others_stay(tmp_path: Path) -> None:
    texts = {
        "settings.toml": 'genotype = "/home/a/run/genotype.json"\ndata_root = "/home/a/data"\n',
        "cell.json": '{"x": "/home/a/data/deep/er", "y": "/home/a/data.json?width=3"}',
        "others.txt": "/home/a/data2 /x/home/a/data /home/a/run-2 /home/a/run/ data/home/a/data",
        "inner.csv": "/home/a/data/groups.csv,/home/a/data/images",
        "weights.pt": "/home/a/data",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    before = tree(tmp_path)
    places = {
        "/home/a/run": "/tmp/n/run/x",
        "/home/a/data": "/tmp/n/0/data",
        "/home/a/data.json": "/tmp/n/1/data.json",
        "/home/a/data/groups.csv": "/tmp/n/2/groups.csv",
    }
    relocate(tmp_path, places)
    found = {name: (tmp_path / name).read_text() for name in texts}
    assert found == {
        "settings.toml": 'genotype = "/tmp/n/run/x/genotype.json"\ndata_root = "/tmp/n/0/data"\n',
        "cell.json": '{"x": "/tmp/n/0/data/deep/er", "y": "/tmp/n/1/data.json?width=3"}',
        "others.txt": "/home/a/data2 /x/home/a/data /home/a/run-2 /tmp/n/run/x/ data/home/a/data",
        "inner.csv": "/tmp/n/2/groups.csv,/tmp/n/0/data/images",
        "weights.pt": "/home/a/data",
    }
    relocate(tmp_path, {place: path for path, place in places.items()})
    assert tree(tmp_path) == before


def test_paths_move_as_json_writes_them(tmp_path: Path) -> None:
    path, place = '/home/Jörg "x"/data', "/tmp/ä"
    (tmp_path / "a.json").write_text(json.dumps({"root": path + "/b"}))
    relocate(tmp_path, {path: place})
    assert json.loads((tmp_path / "a.json").read_text()) == {"root": place + "/b"}
