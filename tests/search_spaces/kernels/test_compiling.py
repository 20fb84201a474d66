"""Where compiled kernels are kept, and how tasks are shared."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import compiling
from search_spaces.kernels.compiling import compiled, folder, in_threads


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    folder.cache_clear()
    yield
    folder.cache_clear()


def double(x):  # type: ignore[no-untyped-def]
    return 2 * x


def test_kernels_are_kept_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert compiled(double)(4) == 8
    assert list(folder().rglob("*.nbi"))
    assert folder().is_relative_to(tmp_path)


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
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(compiling.root()))
    folder.cache_clear()
    assert folder() == before


@pytest.mark.parametrize("tasks", [0, 1, 2, 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_each_task_is_done_once(tasks: int, threads: int) -> None:
    done: list[int] = []
    in_threads(lambda begin, end: done.extend(range(begin, end)), tasks, threads)
    assert sorted(done) == list(range(tasks))


def test_what_fails_in_a_thread_fails_here() -> None:
    def fail(begin: int, end: int) -> None:
        raise RuntimeError(f"{begin} to {end}")

    with pytest.raises(RuntimeError, match="to"):
        in_threads(fail, 4, 2)


def test_the_next_process_compiles_nothing(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from search_spaces.kernels import depthwise\n"
        "form = depthwise.Form(3, 1, 1)\n"
        "x, y = np.zeros((1, 2, 2, 16)), np.zeros((1, 2, 2, 1, 16))\n"
        "depthwise.convolve(x, np.zeros((3, 3, 1, 16)), y, form, 1)\n"
        "print(sum(depthwise._convolution(*form).stats.cache_misses.values()))\n"
    )
    missed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert missed == ["1", "0"]
