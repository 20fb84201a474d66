import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.layouts.volume_layout import VolumeReader
from nas.data.readers import open_reader, survey
from nas.errors import DataError
from nas.settings import DataSettings

nib = pytest.importorskip("nibabel")

VOXELS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


def _save(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, 1.0, 1.0, 1.0])), path)


def _task(root: Path, channels: int = 1, **changes: Any) -> Path:
    folder = root / "Task04_Hippocampus"
    names = ["hippocampus_001", "hippocampus_367"]
    image = VOXELS if channels == 1 else np.stack([VOXELS + k for k in range(channels)], -1)
    for name in names:
        _save(folder / "imagesTr" / f"{name}.nii.gz", image)
        _save(folder / "labelsTr" / f"{name}.nii.gz", (VOXELS % 3).astype(np.uint8))
    _save(folder / "imagesTs" / "hippocampus_267.nii.gz", image)
    (folder / "imagesTr" / "._hippocampus_001.nii.gz").write_bytes(b"\0\5\26\7")
    content = {
        "name": "Hippocampus",
        "modality": {str(k): "MRI" for k in range(channels)},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "numTraining": 2,
        "numTest": 1,
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in ["._hippocampus_001", *names]
        ],
        "test": ["./imagesTs/hippocampus_267.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps({**content, **changes}))
    return folder


def _survey(root: Path, **options: Any) -> VolumeReader:
    reader = survey(DataSettings(dataset="msd", data_root=root, **options))
    assert isinstance(reader, VolumeReader)
    return reader


def test_a_task_is_read_slice_by_slice(tmp_path: Path) -> None:
    _task(tmp_path)
    reader = open_reader(DataSettings(dataset="msd", data_root=tmp_path, window=(0.0, 59.0)))
    assert len(reader.cases) == 10
    assert reader.cases[0].id == "hippocampus_001_000"
    assert {case.group for case in reader.cases} == {"hippocampus_001", "hippocampus_367"}
    assert reader.classes == ("background", "Anterior", "Posterior")
    assert reader.channels == 1
    assert reader.lists is None
    for case in reader.cases:
        voxels = np.rint(reader.read_image(case)[0] * 59).astype(int)
        assert (reader.read_mask(case) == voxels % 3).all()
    # Stored LAS: the first stored voxel is the patient's rightmost, hence on the image's left.
    assert voxels[-1, 0] == VOXELS[0, 0, 4]
    assert reader.describe(reader.cases[0]) == "int16 grey NIfTI volume, stored LAS"


def test_the_task_itself_may_be_named(tmp_path: Path) -> None:
    assert len(_survey(_task(tmp_path)).cases) == 10


def test_modalities_are_channels(tmp_path: Path) -> None:
    _task(tmp_path, channels=4)
    reader = _survey(tmp_path)
    assert reader.problems == ()
    assert reader.channels == 4
    assert reader.read_image(reader.cases[0]).shape == (4, 4, 3)
    _task(tmp_path, channels=4, modality={"0": "MRI"})
    problems = _survey(tmp_path).problems
    assert "hippocampus_001.nii.gz has 4 channel(s); dataset.json names 1" in problems[0]


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    folder = _task(tmp_path, numTraining=260)
    _save(folder / "imagesTr" / "extra.nii.gz", VOXELS)
    reader = _survey(tmp_path)
    assert reader.problems == ()
    notes = "\n".join(reader.notes)
    assert "numTraining is 260; there are 2" in notes
    assert "1 files of" in notes
    assert "extra.nii.gz" in notes
    assert "The 1 images of" in notes
    assert "._" not in notes


def test_files_that_are_named_and_missing_are_told(tmp_path: Path) -> None:
    folder = _task(tmp_path)
    (folder / "labelsTr" / "hippocampus_001.nii.gz").unlink()
    reader = _survey(tmp_path)
    (problem,) = reader.problems
    assert "names" in problem
    assert "labelsTr/hippocampus_001.nii.gz, which does not exist" in problem
    assert {case.group for case in reader.cases} == {"hippocampus_367"}


def test_cases_named_twice_are_told(tmp_path: Path) -> None:
    pair = {
        "image": "./imagesTr/hippocampus_001.nii.gz",
        "label": "labelsTr/hippocampus_001.nii.gz",
    }
    _task(tmp_path, training=[pair, pair])
    reader = _survey(tmp_path)
    assert "hippocampus_001 twice" in reader.problems[0]
    assert len(reader.cases) == 5


def test_unexpected_labels_are_refused(tmp_path: Path) -> None:
    _task(tmp_path, labels={"0": "background", "1": "all"})
    reader = _survey(tmp_path)
    with pytest.raises(DataError, match=r"labelsTr/.*\(axial slice 0\) holds the values 2"):
        reader.read_mask(reader.cases[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": []}, "names no training cases"),
        ({"training": ["a.nii.gz"]}, "has the training case a"),
        ({"training": [{"image": "a"}]}, "expected image and label"),
        ({"labels": {"1": "a", "2": "b"}}, "numbers its labels 1, 2"),
        ({"modality": {}}, "names no channels"),
    ],
)
def test_what_dataset_json_may_not_say(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    _task(tmp_path, **change)
    with pytest.raises(DataError, match=rf"dataset\.json .*{message}"):
        _survey(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "Task04_Hippocampus.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"no data set of the Decathlon.*\.tar.*unpack it there"):
        _survey(tmp_path)
