from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data.cases import UNKNOWN
from nas.data.layouts.ctc import CtcReader
from nas.data.readers import open_reader, survey
from nas.errors import DataError
from nas.settings import DataSettings

LABEL = np.array([[0, 300, 300], [7, 0, 0]], dtype=np.uint16)


def _save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def _sequence(
    root: Path, name: str, frames: int = 3, silver: bool = True, gold: tuple[int, ...] = ()
) -> None:
    for k in range(frames):
        _save(root / name / f"t{k:03d}.tif", np.full((2, 3), 51, np.uint8))
        if silver:
            _save(root / f"{name}_ST" / "SEG" / f"man_seg{k:03d}.tif", LABEL)
        _save(root / f"{name}_GT" / "TRA" / f"man_track{k:03d}.tif", LABEL)
    for k in gold:
        _save(root / f"{name}_GT" / "SEG" / f"man_seg{k:03d}.tif", LABEL)
    (root / f"{name}_GT" / "TRA" / "man_track.txt").write_text("7 0 2 0\n300 0 2 0\n")


def _survey(root: Path, **options: Any) -> CtcReader:
    reader = survey(DataSettings(dataset="ctc", data_root=root, **options))
    assert isinstance(reader, CtcReader)
    return reader


def test_silver_truth(tmp_path: Path) -> None:
    _sequence(tmp_path, "01")
    _sequence(tmp_path, "02", frames=1)
    reader = open_reader(DataSettings(dataset="ctc", data_root=tmp_path))
    assert [(c.id, c.group) for c in reader.cases] == [
        ("01_t000", "01"),
        ("01_t001", "01"),
        ("01_t002", "01"),
        ("02_t000", "02"),
    ]
    assert reader.classes == ("background", "cell")
    case = reader.cases[0]
    assert reader.read_mask(case).tolist() == [[0, 1, 1], [1, 0, 0]]
    instances = reader.read_instances(case)
    assert instances is not None
    assert instances.dtype == np.int32
    assert instances.tolist() == LABEL.tolist()
    np.testing.assert_allclose(reader.read_image(case), np.full((1, 2, 3), 0.2), atol=1e-6)
    assert any("silver" in note for note in reader.notes)


def test_the_set_may_lie_in_the_root(tmp_path: Path) -> None:
    _sequence(tmp_path / "PhC-C2DH-U373", "01")
    assert len(_survey(tmp_path).cases) == 3
    _sequence(tmp_path / "DIC-C2DH-HeLa", "01")
    with pytest.raises(DataError, match=r"2 data sets .*DIC-C2DH-HeLa, PhC-C2DH-U373"):
        _survey(tmp_path)


def test_four_digits(tmp_path: Path) -> None:
    _save(tmp_path / "01" / "t0000.tif", np.zeros((2, 3), np.uint16))
    _save(tmp_path / "01" / "t1234.tif", np.zeros((2, 3), np.uint16))
    _save(tmp_path / "01_ST" / "SEG" / "man_seg0000.tif", LABEL)
    _save(tmp_path / "01_ST" / "SEG" / "man_seg1234.tif", LABEL)
    reader = _survey(tmp_path)
    assert reader.problems == ()
    assert [case.id for case in reader.cases] == ["01_t0000", "01_t1234"]
    assert reader.describe(reader.cases[0]) == "16-bit grey"


def test_gold_truth_of_complete_frames(tmp_path: Path) -> None:
    _sequence(tmp_path, "01", gold=(0, 2))
    reader = _survey(tmp_path, truth="gold")
    assert reader.problems == ()
    assert [case.id for case in reader.cases] == ["01_t000", "01_t002"]
    assert any("1 of 3 frames of 01 have no gold truth" in note for note in reader.notes)
    assert not any("unknown" in note for note in reader.notes)
    assert reader.read_mask(reader.cases[0]).tolist() == [[0, 1, 1], [1, 0, 0]]
    names = [path.name for path in reader.cases[0].files]
    assert names == ["t000.tif", "man_seg000.tif", "man_track000.tif"]


def test_gold_truth_that_misses_cells(tmp_path: Path) -> None:
    _sequence(tmp_path, "01", gold=(0, 1))
    _save(
        tmp_path / "01_GT" / "TRA" / "man_track001.tif",
        np.array([[0, 300, 0], [7, 0, 9]], dtype=np.uint16),
    )
    reader = _survey(tmp_path, truth="gold")
    assert any("In 1 of 2 frames of gold truth the markers" in note for note in reader.notes)
    assert reader.read_mask(reader.cases[0]).tolist() == [[0, 1, 1], [1, 0, 0]]
    assert reader.read_mask(reader.cases[1]).tolist() == [[UNKNOWN, 1, 1], [1, UNKNOWN, UNKNOWN]]
    instances = reader.read_instances(reader.cases[1])
    assert instances is not None
    assert np.unique(instances).tolist() == [0, 7, 300]


def test_gold_truth_without_markers(tmp_path: Path) -> None:
    _sequence(tmp_path, "01", gold=(0, 1))
    (tmp_path / "01_GT" / "TRA" / "man_track001.tif").unlink()
    reader = _survey(tmp_path, truth="gold")
    assert any("1 of 2 frames of gold truth have no markers (TRA)" in n for n in reader.notes)
    assert (reader.read_mask(reader.cases[0]) == UNKNOWN).sum() == 0
    assert (reader.read_mask(reader.cases[1]) == UNKNOWN).sum() == 3


def test_the_other_truth_is_named(tmp_path: Path) -> None:
    _sequence(tmp_path, "01", silver=False, gold=(0,))
    with pytest.raises(DataError, match=r"no silver truth .*--truth gold"):
        _survey(tmp_path)
    (tmp_path / "01_GT" / "SEG" / "man_seg000.tif").unlink()
    with pytest.raises(DataError, match="neither silver nor gold truth"):
        _survey(tmp_path)
    _save(tmp_path / "01_ST" / "SEG" / "man_seg000.tif", LABEL)
    with pytest.raises(DataError, match=r"no gold truth .*--truth silver"):
        _survey(tmp_path, truth="gold")


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    _sequence(tmp_path, "01", frames=4)
    (tmp_path / "01_ST" / "SEG" / "man_seg001.tif").unlink()
    (tmp_path / "01" / "t002.tif").unlink()
    _save(tmp_path / "01_ST" / "SEG" / "man_seg003.tif", LABEL[:, :2])
    _sequence(tmp_path, "02", silver=False)
    reader = _survey(tmp_path)
    problems = "\n".join(reader.problems)
    assert "t001.tif has no label: expected" in problems
    assert "SEG/man_seg001.tif" in problems
    assert "man_seg002.tif has no image" in problems
    assert "is 2x3 and its label" in problems
    assert "02 has no silver truth" in problems
    assert len(reader.problems) == 4
    assert [case.id for case in reader.cases] == ["01_t000"]


def test_slices_of_volumes_are_refused(tmp_path: Path) -> None:
    _sequence(tmp_path, "01", gold=(0,))
    _save(tmp_path / "01_GT" / "SEG" / "man_seg_000_007.tif", LABEL)
    with pytest.raises(DataError, match=r"man_seg_000_007\.tif is the label of one slice"):
        _survey(tmp_path, truth="gold")


def test_stacks_are_refused(tmp_path: Path) -> None:
    _sequence(tmp_path, "01")
    pages = [Image.fromarray(np.zeros((2, 3), np.uint8)) for _ in range(5)]
    pages[0].save(tmp_path / "01" / "t001.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"t001\.tif is a volume of 5 slices"):
        _survey(tmp_path)


def test_groups_are_those_of_the_csv(tmp_path: Path) -> None:
    _sequence(tmp_path, "01", frames=2)
    csv = tmp_path / "groups.csv"
    csv.write_text("01_t000,a\n01_t001,b\n")
    assert [case.group for case in _survey(tmp_path, groups=csv).cases] == ["a", "b"]


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "PhC-C2DH-U373.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"no sequence of the .*U373\.zip.*unpack"):
        _survey(tmp_path)
