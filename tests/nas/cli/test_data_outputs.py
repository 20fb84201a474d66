"""Nothing that exists is overwritten, and what cannot be written is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.cli.data_outputs import require_new_file, require_new_folder
from nas.errors import RunError, UsageError


def test_a_new_file(tmp_path: Path) -> None:
    require_new_file(tmp_path / "a" / "b.json")
    assert (tmp_path / "a").is_dir()
    assert not list((tmp_path / "a").iterdir())


def test_a_new_or_empty_folder(tmp_path: Path) -> None:
    for _ in range(2):
        require_new_folder(tmp_path / "a" / "b")
        assert not list((tmp_path / "a" / "b").iterdir())


def test_what_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("kept")
    with pytest.raises(UsageError, match="f exists and is not overwritten"):
        require_new_file(tmp_path / "f")
    with pytest.raises(UsageError, match="is a folder: name a file"):
        require_new_file(tmp_path)
    with pytest.raises(UsageError, match="f is a file: name a folder"):
        require_new_folder(tmp_path / "f")
    with pytest.raises(UsageError, match="is not empty"):
        require_new_folder(tmp_path)
    assert (tmp_path / "f").read_text() == "kept"


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("kept")
    with pytest.raises(RunError, match="Cannot write into"):
        require_new_file(tmp_path / "f" / "out.json")
    with pytest.raises(RunError, match="Cannot write into"):
        require_new_folder(tmp_path / "f" / "out")
