"""Which kernels a search takes, and what is said of them."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from nas import kernels
from nas.errors import UsageError
from nas.kernels import kernels_ahead, take_kernels, wait_for
from nas.settings import SearchSettings, SpaceSettings
from search_spaces import kernel_choice
from search_spaces.kernel_choice import Compilation


def ending_with(code: int) -> Compilation:
    return Compilation([subprocess.Popen([sys.executable, "-c", f"exit({code})"])])


def test_kernels_that_cannot_be_compiled_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_choice, "_trouble", lambda: "numba is not installed")
    with pytest.raises(UsageError, match=r"discriminator-nas\[fast\]"):
        take_kernels("compiled")


def test_a_first_start_tells_that_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(kernels, "compile_ahead", lambda *_: ending_with(0))
    compilation = kernels_ahead(SearchSettings(), said.append)
    assert len(said) == 1
    assert "compiled for this machine" in said[0]
    wait_for(compilation, said.append)
    assert len(said) == 1


def test_searches_without_cells_and_further_ranks_compile_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "compile_ahead", lambda *_: pytest.fail("compiles"))
    other = msgspec.structs.replace(SearchSettings(), space=SpaceSettings(space="flexvgg"))
    assert not kernels_ahead(other, print).processes
    monkeypatch.setattr(kernels, "number_here", lambda: 1)
    assert not kernels_ahead(SearchSettings(), print).processes


def test_a_compilation_that_fails_is_told() -> None:
    said: list[str] = []
    wait_for(ending_with(1), said.append)
    assert "first step compiles them" in said[0]
