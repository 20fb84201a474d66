"""The measurement of the pipeline runs, and measures what it says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.batches import Batches, Samples
from nas.data.readers import open_reader
from nas.settings import DataSettings

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/measure_pipeline.py"
SPECIFICATION = importlib.util.spec_from_file_location("measure_pipeline", TOOL)
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
measure_pipeline = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(measure_pipeline)


def test_a_quick_run_prints_both_tables() -> None:
    told = subprocess.run(
        [sys.executable, str(TOOL), "--quick"], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert "--quick" in told.splitlines()[0]
    rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("| ")]
    starts = {row[0]: [float(cell) for cell in row[1:]] for row in rows[1:] if len(row) == 7}
    assert list(starts) == ["in memory, one thread", "in memory", "writing the cache"] + [
        "from the cache"
    ]
    for load, held, peak, epoch, augmented, last in starts.values():
        assert 0 < epoch < augmented and 0 < load < 60
        assert 20 < held < peak <= last < 5000
    steps = [row for row in rows if len(row) == 5 and row[0] == "64"]
    assert [row[1] for row in steps] == ["none", "flips, rotation, elastic"]
    for row in steps:
        step, loader, share = float(row[2]), float(row[3]), float(row[4].removesuffix("%"))
        assert 0 < loader < step and share == pytest.approx(100 * loader / step, abs=0.1)
    assert re.search(r"load: \d", told)


def test_memory_is_told_in_megabytes() -> None:
    before = measure_pipeline.megabytes("RssAnon")
    held = np.ones(200 * 2**20, dtype=np.uint8)
    assert measure_pipeline.megabytes("RssAnon") - before == pytest.approx(200, abs=3)
    assert measure_pipeline.megabytes("VmHWM") >= before + held.size / 2**20 - 3


def test_the_time_of_batches_is_all_of_it_and_nothing_else() -> None:
    reader = open_reader(DataSettings(image_size="32"))
    ids = [case.id for case in reader.cases[:2]]

    def slowly(batch: object, epoch: int, step: int) -> object:
        time.sleep(0.1)
        return batch

    batches = Batches(Samples(reader, ids, (32, 32)), 2, 0, additions=[slowly])  # type: ignore[list-item]
    expected = batches.batch(0, 0)
    with measure_pipeline.timed_batches() as seconds:
        found = batches.batch(0, 0)
        time.sleep(0.2)
    assert len(seconds) == 1 and 0.1 <= seconds[0] < 0.2
    assert torch.equal(found.images, expected.images)
    batches.batch(0, 0)
    assert len(seconds) == 1


def test_files_are_as_many_and_as_large_as_they_should_be(tmp_path: Path) -> None:
    workload = measure_pipeline.Workload(3, 40, (), 0)
    measure_pipeline.write_images(tmp_path, workload)
    settings = DataSettings(dataset="folder", data_root=tmp_path)
    reader = open_reader(settings)
    assert len(reader.cases) == 3 and len(reader.classes) == 2
    assert {reader.read_image(case).shape for case in reader.cases} == {(1, 40, 40)}
