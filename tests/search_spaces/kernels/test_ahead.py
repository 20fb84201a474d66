"""What is compiled ahead is all that a search needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="kernels need numba")

A_PASS = """
import torch
from search_spaces.cell import CellSupernet
for normalisation in ("batch", "group"):
    network = CellSupernet(3, channels=16, layout="RN", normalisation=normalisation)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    network(images).sum().backward()
"""


def run(folder: Path, *words: str) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    subprocess.run([sys.executable, *words], env=environment, check=True)


@pytest.mark.slow
def test_a_search_compiles_nothing_that_was_not_compiled_ahead(tmp_path: Path) -> None:
    for place in ("0", "1"):
        run(tmp_path, "-m", "search_spaces.kernels.ahead", place, "2")
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")}
    run(tmp_path, "-c", A_PASS)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb?")} == before
    assert len(before) > 20
