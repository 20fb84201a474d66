"""Which processes compile kernels, and what is heard of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces.kernels import background
from search_spaces.kernels.background import Compilation, compile_in_background
from search_spaces.kernels.kept import folder


def ending_with(code: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", f"exit({code})"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[int, int]]]:
    """Which processes are asked for, with three processors and no compiled kernels."""
    found: list[tuple[int, int]] = []

    def process(place: int, count: int) -> subprocess.Popen[bytes]:
        found.append((place, count))
        return ending_with(0)

    monkeypatch.setattr(background, "_process", process)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder.cache_clear()
    yield found
    folder.cache_clear()


def test_a_first_start_compiles_in_processes_beside(asked: list[tuple[int, int]]) -> None:
    compilation = compile_in_background()
    assert asked == [(0, 3), (1, 3), (2, 3)]
    assert compilation.wait()
    assert not compilation.is_running()


def test_later_starts_find_what_is_compiled(asked: list[tuple[int, int]]) -> None:
    (folder() / "kernel.nbi").touch()
    assert compile_in_background().wait()
    assert not asked


def test_one_processor_compiles_when_it_must(
    asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert not compile_in_background().processes
    assert not asked


def test_a_process_that_fails_is_told() -> None:
    assert not Compilation([ending_with(0), ending_with(1)]).wait()


def test_processes_that_have_not_ended_are_running() -> None:
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    compilation = Compilation([ending_with(0), waiting])
    assert compilation.is_running()
    waiting.communicate(b"\n")
    assert compilation.wait()


def test_neither_numba_nor_torch_is_loaded() -> None:
    code = (
        "import sys, nas.kernels, nas.cli.search, search_spaces.kernels.background\n"
        "assert not {'numba', 'llvmlite', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
