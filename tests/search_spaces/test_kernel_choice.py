"""When kernels compute, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from search_spaces import kernel_choice
from search_spaces.kernel_choice import (
    Compilation,
    are_compiled,
    choose_kernels,
    compile_ahead,
    path_in_use,
)

MAPS = torch.zeros(1, 2, 2, 1, 16)


@pytest.fixture(autouse=True)
def chosen_again() -> Iterator[None]:
    yield
    choose_kernels("auto")


def test_numba_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, search_spaces.cell; assert not {'numba', 'llvmlite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, torch, compiled"):
        choose_kernels("fast")  # type: ignore[arg-type]


def test_without_numba_auto_is_torch_and_compiled_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_choice, "_trouble", lambda: "numba is not installed")
    assert not are_compiled(MAPS)
    assert path_in_use() == "relaxed cell: plain PyTorch, as numba is not installed"
    with pytest.raises(ModuleNotFoundError, match="numba is not installed"):
        choose_kernels("compiled")


def test_torch_is_taken_where_it_is_asked_for() -> None:
    choose_kernels("torch")
    assert not are_compiled(MAPS)
    assert path_in_use() == "relaxed cell: plain PyTorch, as was asked for"


def test_with_numba_kernels_take_single_and_double_precision_on_a_cpu() -> None:
    pytest.importorskip("numba", reason="kernels need numba")
    assert "kernels compiled by numba" in path_in_use()
    assert are_compiled(MAPS)
    assert are_compiled(MAPS.double(), MAPS.double())
    assert not are_compiled(MAPS, MAPS.double())
    assert not are_compiled(MAPS.bfloat16())
    assert not are_compiled(MAPS.to("meta"))
    assert not are_compiled(MAPS[..., :12])
    assert not are_compiled(MAPS[:0])
    with torch.autocast("cpu", torch.bfloat16):
        assert not are_compiled(MAPS)
    assert "not for cuda" in path_in_use("cuda")
    assert "(12)" in path_in_use(channels=12)


def test_subclasses_of_tensors_are_left_to_torch() -> None:
    pytest.importorskip("numba", reason="kernels need numba")

    class Other(Tensor):
        pass

    assert not are_compiled(MAPS.as_subclass(Other))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[int, int]]]:
    """Which processes are asked for, with four processors and no compiled kernels."""
    pytest.importorskip("numba", reason="kernels need numba")
    from search_spaces.kernels import compiling

    found: list[tuple[int, int]] = []

    def process(place: int, count: int) -> subprocess.Popen[bytes]:
        found.append((place, count))
        return subprocess.Popen([sys.executable, "-c", "pass"])

    monkeypatch.setattr(kernel_choice, "_compiling_process", process)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    compiling.folder.cache_clear()
    yield found
    compiling.folder.cache_clear()


def test_a_first_start_compiles_in_processes_beside(asked: list[tuple[int, int]]) -> None:
    compilation = compile_ahead()
    assert asked == [(0, 3), (1, 3), (2, 3)]
    assert compilation.wait()


def test_later_starts_find_what_is_compiled(asked: list[tuple[int, int]], tmp_path: Path) -> None:
    from search_spaces.kernels.compiling import folder

    (folder() / "kernel.nbi").touch()
    assert compile_ahead().wait()
    assert not asked


def test_what_no_kernel_computes_needs_none(asked: list[tuple[int, int]]) -> None:
    assert compile_ahead("cuda").wait()
    assert compile_ahead(channels=12).wait()
    choose_kernels("torch")
    assert compile_ahead().wait()
    assert not asked


def test_a_process_that_fails_is_told() -> None:
    codes = ("0", "1")
    processes = [subprocess.Popen([sys.executable, "-c", f"exit({code})"]) for code in codes]
    assert not Compilation(processes).wait()
