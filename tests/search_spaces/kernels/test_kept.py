"""Where compiled kernels are kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces.kernels.kept import folder, is_empty, root


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    folder.cache_clear()
    yield
    folder.cache_clear()


def test_a_place_that_cannot_be_written_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(file))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder().is_relative_to(tmp_path)


def test_without_any_place_a_temporary_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, "/dev/null")
    assert folder().is_dir()
    assert folder().is_relative_to(tempfile.gettempdir())


def test_other_processes_find_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    before = folder()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(root()))
    folder.cache_clear()
    assert folder() == before


def test_a_folder_is_empty_until_a_kernel_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert is_empty()
    (folder() / "below").mkdir()
    assert is_empty()
    (folder() / "below" / "kernel.nbi").touch()
    assert not is_empty()
