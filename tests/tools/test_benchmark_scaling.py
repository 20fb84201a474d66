"""The scaling curves are measured point by point, kept, and drawn."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str) -> str:
    command = [sys.executable, str(ROOT / "tools/benchmark_scaling.py"), "--quick", *words]
    command += ["--device", "cpu"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.mark.slow
def test_points_are_measured_once_and_drawn(tmp_path: Path) -> None:
    out, figure = tmp_path / "scaling.csv", tmp_path / "scaling.svg"
    run("--out", str(out))
    rows = list(csv.DictReader(out.open()))
    small, large = rows
    assert [(row["axis"], row["value"], row["px"]) for row in rows] == [
        ("pixels", "32", "32"),
        ("pixels", "64", "64"),
    ]
    assert small["launches"] == large["launches"]
    assert 1 < float(large["tensor MB"]) / float(small["tensor MB"]) < 4
    before = out.read_text()
    told = run("--out", str(out), "--figure", str(figure))
    assert out.read_text() == before and len(told.splitlines()) == 1
    drawn = figure.read_text()
    assert "<svg" in drawn and drawn.count('id="axes_') == 8
