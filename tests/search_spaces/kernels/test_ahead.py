"""What is compiled ahead is all that a search needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="kernels need numba")

KERNELS = 19
"""That have files of their own; each has two."""

A_PASS = """
import torch
from search_spaces.cell import CellSupernet
for normalisation in ("batch", "group"):
    network = CellSupernet(3, channels=16, layout="RN", normalisation=normalisation)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    network(images).sum().backward()
"""


def begin(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    return subprocess.Popen([sys.executable, *words], env=environment)


@pytest.mark.slow
def test_a_search_compiles_nothing_that_was_not_compiled_ahead(tmp_path: Path) -> None:
    command = ("-m", "search_spaces.kernels.ahead")
    processes = [begin(tmp_path, *command, place, "2") for place in ("0", "1")]
    assert [process.wait() for process in processes] == [0, 0]
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")}
    assert len(before) == 2 * KERNELS
    assert begin(tmp_path, "-c", A_PASS).wait() == 0
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")} == before
    kernels = [file.name.split(".py3")[0] for file in before if file.suffix == ".nbc"]
    assert len(kernels) == len(set(kernels)), "processes could exchange files of one name"
