"""The readers read what is written, and convert writes what they read."""

import importlib.util
import shlex
from pathlib import Path

import numpy as np
import pytest

from nas.cli.common import parse
from nas.cli.data_check import Options
from nas.data.cases import Reader
from nas.data.convert import convert
from nas.data.readers import survey
from nas.data.synthesis.table import LAYOUTS, synthesize
from nas.settings import DataSettings

VOLUMES = ("msd", "nnunet_volumes")
SLOW = ("jsrt",)
CASES = 4
EXPECTED = {"drive_without_test_labels": 2, "shenzhen": 3}
"""Cases that have a mask, where these are not all."""


def _reader(layout: str, root: Path) -> Reader:
    if layout in VOLUMES and importlib.util.find_spec("nibabel") is None:
        pytest.skip("nibabel is not installed")
    size = None if layout in (*VOLUMES, "jsrt") else (80, 96)
    synthesize(layout, root, CASES, 0, size)
    dataset = LAYOUTS[layout][0].partition(":")[0].rpartition(".")[2]
    return survey(DataSettings(dataset=dataset, data_root=root))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_without_a_problem(layout: str, tmp_path: Path) -> None:
    reader = _reader(layout, tmp_path)
    assert reader.problems == ()
    files = {case.id.rsplit("_", 1)[0] for case in reader.cases} if layout in VOLUMES else None
    labelled = {"msd": 3, "nnunet_volumes": 3}.get(layout, EXPECTED.get(layout, CASES))
    assert len(reader.cases if files is None else files) == labelled
    found: set[int] = set()
    for case in reader.cases:
        image, mask = reader.read_image(case), reader.read_mask(case)
        assert image.shape == (reader.channels, *mask.shape)
        found |= set(np.unique(mask).tolist())
    assert found - {255} == set(range(len(reader.classes)))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in SLOW])
@pytest.mark.parametrize("form", ["folder", "nnunet"])
def test_what_is_converted_reads_the_same(layout: str, form: str, tmp_path: Path) -> None:
    reader = _reader(layout, tmp_path / "in")
    if form == "folder" and reader.channels == 2:
        pytest.skip("a folder of pictures holds no second channel")
    done = convert(reader, None, tmp_path / "out", form)  # type: ignore[arg-type]
    again = survey(parse(Options, "nas-data", shlex.split(done.options)).data)
    assert again.problems == () and len(again.cases) == len(reader.cases)
    assert again.classes == reader.classes and again.channels == reader.channels
    second = {case.id: case for case in again.cases}
    for case in reader.cases[:12]:
        twin = second[done.stems[case.id]]
        image, copy = reader.read_image(case), again.read_image(twin)
        np.testing.assert_allclose(copy, image, atol=1 / 131070 + 1e-6)
        np.testing.assert_array_equal(again.read_mask(twin), reader.read_mask(case))
        if form == "folder":
            for part in ("read_instances", "read_field_of_view"):
                np.testing.assert_equal(getattr(again, part)(twin), getattr(reader, part)(case))
            assert twin.group == (case.group or (case.id if _grouped(reader) else None))


def _grouped(reader: Reader) -> bool:
    return any(case.group is not None for case in reader.cases)
