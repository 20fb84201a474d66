from pathlib import Path

import numpy as np
import pytest

from nas.data.layouts.volume_folder import read_volume_folder
from nas.data.layouts.volume_layout import VolumeReader
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

nib = pytest.importorskip("nibabel")

RAMP = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def _labels(empty: tuple[int, ...] = (0, 5)) -> np.ndarray:
    """0, 1 and 2, with axial slices of background only."""
    labels = np.zeros((4, 5, 6), dtype=np.uint8)
    for k in set(range(6)) - set(empty):
        labels[0, 0, k] = 1
        labels[3, 4, k] = 2
    return labels


def _save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def _folder(root: Path, count: int = 2) -> Path:
    for k in range(count):
        _save(root / "images" / f"p{k}.nii.gz", RAMP + k)
        _save(root / "masks" / f"p{k}.nii.gz", _labels())
    return root


def _read(root: Path, **options: object) -> VolumeReader:
    return read_volume_folder(
        root,
        DataSettings(dataset="folder", data_root=root, **options),  # type: ignore[arg-type]
    )


def test_values_are_mapped_and_others_refused(tmp_path: Path) -> None:
    _save(tmp_path / "images" / "a.nii.gz", RAMP)
    _save(tmp_path / "masks" / "a.nii.gz", _labels() * 100)
    reader = _read(tmp_path, value_map="0:0,100:2,200:1", class_names=("none", "one", "two"))
    assert reader.classes == ("none", "one", "two")
    mask = reader.read_mask(reader.cases[1])
    assert (mask[-1, -1], mask[0, 0], mask.sum()) == (2, 1, 3)
    reader = _read(tmp_path, value_map="0:0,100:1")
    with pytest.raises(DataError, match=r"a\.nii\.gz \(axial slice 1\) holds the values 200; "):
        reader.read_mask(reader.cases[1])
    with pytest.raises(DataError, match=r"1 volumes hold the values 0, 100, 200.*--value-map"):
        _read(tmp_path).classes  # noqa: B018


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    _folder(tmp_path)
    _save(tmp_path / "images" / "alone.nii.gz", RAMP)
    _save(tmp_path / "masks" / "lost.nii.gz", _labels())
    _save(tmp_path / "images" / "turned.nii.gz", RAMP, np.diag([-1.0, -1.0, 1.0, 1.0]))
    _save(tmp_path / "masks" / "turned.nii.gz", _labels())
    _save(tmp_path / "images" / "twice.nii.gz", RAMP)
    _save(tmp_path / "images" / "twice.nii", RAMP)
    _save(tmp_path / "images" / "four.nii.gz", np.stack([RAMP] * 4, -1))
    _save(tmp_path / "masks" / "four.nii.gz", _labels())
    (tmp_path / "images" / "._p0.nii.gz").write_text("of a Mac")
    reader = _read(tmp_path)
    problems = "\n".join(reader.problems)
    assert "alone.nii.gz has no mask: expected" in problems
    assert "lost.nii.gz has no image" in problems
    assert "images/turned.nii.gz is stored LPS" in problems
    assert "masks/turned.nii.gz RAS" in problems
    assert "twice.nii and twice.nii.gz, one case twice" in problems
    assert "four.nii.gz has 4 channel(s) and most of the volumes have 1" in problems
    assert len(reader.problems) == 5
    assert {case.group for case in reader.cases} == {"p0", "p1"}


def test_lists_name_volumes(tmp_path: Path) -> None:
    _folder(tmp_path)
    (tmp_path / "train.txt").write_text("p1.nii.gz\n")
    (tmp_path / "test.txt").write_text("p0\nnobody\n")
    reader = _read(tmp_path)
    assert reader.lists is not None
    assert reader.lists["train"] == tuple(f"p1_{k:03d}" for k in range(6))
    assert reader.lists["val"] == ()
    assert len(reader.lists["test"]) == 6
    assert "test.txt names 1 volumes" in reader.problems[0]


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    _folder(tmp_path, 1)
    with pytest.raises(UsageError, match="--white .*--window LOW HIGH"):
        _read(tmp_path, white=255.0)
    with pytest.raises(UsageError, match="--window 5 1 does not do"):
        _read(tmp_path, window=(5.0, 1.0))
    with pytest.raises(UsageError, match="2 class names .* 3 classes"):
        _read(tmp_path, value_map="0:0,1:1,2:2", class_names=("a", "b"))
    with pytest.raises(UsageError, match="class names a do not do"):
        _read(tmp_path, class_names=("a",))


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder .*images"):
        _read(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="No volume in .* 0 images and 0 masks"):
        _read(tmp_path)
