import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.synthesis.nnunet import write, write_volumes


def test_the_pictures(tmp_path: Path, tree: Callable[..., Any], opened: Callable[..., Any]) -> None:
    write(tmp_path, 4, 0, (64, 80))
    folder = tmp_path / "Dataset120_Glands"
    assert tree(tmp_path / folder) == {"dataset.json"} | {
        name
        for n, part in ((1, "Tr"), (2, "Tr"), (3, "Tr"), (4, "Ts"))
        for name in (f"images{part}/glands_00{n}_0000.png", f"labels{part}/glands_00{n}.png")
    }
    description = json.loads((folder / "dataset.json").read_text())
    assert description == {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "gland": 1},
        "numTraining": 3,
        "file_ending": ".png",
    }
    mode, size, image = opened(folder / "imagesTr" / "glands_001_0000.png", "PNG")
    assert (mode, size) == ("RGB", (80, 64))
    mode, size, labels = opened(folder / "labelsTr" / "glands_001.png", "PNG")
    assert (mode, size, np.unique(labels).tolist()) == ("L", (80, 64), [0, 1])


def test_the_volumes(tmp_path: Path, tree: Callable[..., Any]) -> None:
    nibabel = pytest.importorskip("nibabel")
    write_volumes(tmp_path, 4, 0)
    folder = tmp_path / "Dataset204_Hippocampus"
    cases = [(1, "Tr"), (2, "Tr"), (3, "Tr"), (4, "Ts")]
    images = {f"images{p}/hippocampus_00{n}_000{c}.nii.gz" for n, p in cases for c in (0, 1)}
    labels = {f"labelsTr/hippocampus_00{n}.nii.gz" for n in (1, 2, 3)}
    assert tree(folder) == {"dataset.json"} | images | labels
    description = json.loads((folder / "dataset.json").read_text())
    assert description["channel_names"] == {"0": "T1", "1": "T2"}
    assert description["labels"]["ignore"] == max(description["labels"].values()) == 3
    assert description["numTraining"] == 3 and description["file_ending"] == ".nii.gz"
    for name in sorted(labels):
        label = nibabel.load(folder / name)
        stem = Path(name).name.removesuffix(".nii.gz")
        first, second = (
            nibabel.load(folder / "imagesTr" / f"{stem}_000{c}.nii.gz") for c in (0, 1)
        )
        assert label.shape == first.shape == second.shape and len(label.shape) == 3
        np.testing.assert_array_equal(label.affine, first.affine)
        np.testing.assert_array_equal(first.affine, second.affine)
        assert label.get_data_dtype() == np.uint8 and first.get_data_dtype() == np.float32
        assert (np.asarray(first.dataobj) != np.asarray(second.dataobj)).any()


def test_what_nobody_labelled_is_ignored(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    write_volumes(tmp_path, 4, 0)
    folder = tmp_path / "Dataset204_Hippocampus" / "labelsTr"
    dense = np.asarray(nibabel.load(folder / "hippocampus_001.nii.gz").dataobj)
    sparse = np.asarray(nibabel.load(folder / "hippocampus_003.nii.gz").dataobj)
    assert np.unique(dense).tolist() == [0, 1, 2]
    for k in range(sparse.shape[2]):
        assert (sparse[..., k] == 3).all() if k % 3 else (sparse[..., k] < 3).all()
    assert set(np.unique(sparse)) == {0, 1, 2, 3}
