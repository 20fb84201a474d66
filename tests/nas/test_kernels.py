"""Which kernels a search takes, and what is said of them."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import torch

from nas import kernels
from nas.errors import UsageError
from nas.kernels import check_kernels, kernels_ahead, path_taken, take_kernels, wait_for
from nas.settings import CellSettings, RunSettings, SearchSettings, SpaceSettings
from search_spaces import kernel_choice
from search_spaces.kernels.background import Compilation


def test_kernels_that_cannot_be_compiled_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_choice, "_trouble", lambda: "numba is not installed")
    with pytest.raises(UsageError, match=r"discriminator-nas\[fast\]"):
        take_kernels("compiled")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whenever compiling begins, on a machine without a GPU."""
    found: list[bool] = []

    def begin() -> Compilation:
        found.append(True)
        return Compilation([])

    monkeypatch.setattr(kernels, "compile_in_background", begin)
    monkeypatch.setattr(kernels, "find_spec", lambda name: object())
    monkeypatch.setattr(kernels, "_loads", lambda library: False)
    return found


def with_run(**options: Any) -> SearchSettings:
    return SearchSettings(run=RunSettings(**options))


QUARTER = CellSettings(partial_channels=4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (with_run(device="cpu", precision="bf16"), "plain PyTorch in passes of bfloat16"),
        (SearchSettings(cell=QUARTER, run=RunSettings(device="cpu")), r"channels \(4\) are no"),
        (with_run(device="cpu"), "kernels compiled by numba"),
    ],
)
def test_the_path_is_that_of_the_passes(settings: SearchSettings, words: str) -> None:
    pytest.importorskip("numba", reason="kernels need numba")
    assert re.search(words, path_taken(settings))


@pytest.mark.parametrize(
    ("cell", "run", "words"),
    [
        ({}, {"precision": "bf16"}, r"passes of bfloat16, .* give --precision fp32, or choose"),
        (
            {"partial_channels": 4},
            {},
            r"channels \(4\) .* give --channels 64 or a multiple of it beside "
            "--partial-channels 4, or choose",
        ),
        ({"channels": 12}, {}, r"channels \(12\) .* give --channels 16 or a multiple of it, or"),
        ({}, {"device": "cuda"}, "not for cuda; give --device cpu, or choose --kernels auto"),
    ],
)
def test_kernels_that_there_are_not_are_refused_where_they_are_asked_for(
    cell: dict[str, Any], run: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.devices.resolve_device", torch.device)
    run = {"device": "cpu", **run}
    settings = SearchSettings(cell=CellSettings(**cell), run=RunSettings(kernels="compiled", **run))
    with pytest.raises(UsageError, match=f"--kernels compiled cannot be: .*{words}"):
        check_kernels(settings)
    check_kernels(SearchSettings(cell=settings.cell, run=RunSettings(**run)))


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"cell": CellSettings(channels=64, partial_channels=4)},
        {"space": SpaceSettings(space="flexvgg"), "cell": QUARTER},
    ],
)
def test_kernels_that_there_are_can_be_asked_for(tables: dict[str, Any]) -> None:
    check_kernels(SearchSettings(**tables, run=RunSettings(device="cpu", kernels="compiled")))


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_search_on_a_cpu_compiles_ahead(begun: list[bool], device: str) -> None:
    kernels_ahead(with_run(device=device))
    assert begun


@pytest.mark.parametrize(
    "settings",
    [
        SearchSettings(space=SpaceSettings(space="flexvgg")),
        SearchSettings(cell=CellSettings(channels=12)),
        with_run(kernels="torch"),
        with_run(device="cuda"),
        with_run(device="cuda:1"),
    ],
)
def test_what_no_kernel_computes_compiles_nothing(
    begun: list[bool], settings: SearchSettings
) -> None:
    assert not kernels_ahead(settings).processes
    assert not begun


def test_without_numba_and_on_further_ranks_nothing_is_compiled(
    begun: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(kernels, "find_spec", lambda name: None)
        kernels_ahead(SearchSettings())
    monkeypatch.setattr(kernels, "number_here", lambda: 1)
    kernels_ahead(SearchSettings())
    assert not begun


@pytest.mark.parametrize(("found", "compiles"), [("cpu", True), ("cuda", False)])
def test_where_there_is_a_driver_torch_decides(
    begun: list[bool], monkeypatch: pytest.MonkeyPatch, found: str, compiles: bool
) -> None:
    monkeypatch.setattr(kernels, "_loads", lambda library: library == "libcuda.so.1")
    monkeypatch.setattr("nas.devices.resolve_device", lambda name: torch.device(found))
    kernels_ahead(SearchSettings())
    assert bool(begun) == compiles


def test_libraries_that_are_there_load() -> None:
    assert kernels._loads("libc.so.6")
    assert not kernels._loads("libnowhere.so.1")


def test_what_is_waited_for_is_told_and_so_is_failure() -> None:
    said: list[str] = []
    wait_for(Compilation([]), said.append)
    assert not said
    waiting = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5); exit(1)"])
    wait_for(Compilation([waiting]), said.append)
    assert len(said) == 2
    assert "compiled for this machine" in said[0]
    assert "first step compiles them" in said[1]
