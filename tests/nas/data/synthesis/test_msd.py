import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.synthesis.msd import write

nibabel = pytest.importorskip("nibabel")


def test_the_files(tmp_path: Path, tree: Callable[..., Any]) -> None:
    write(tmp_path, 3, 0)
    folder = tmp_path / "Task04_Hippocampus"
    names = {
        f"{part}/hippocampus_00{n}.nii.gz" for part in ("imagesTr", "labelsTr") for n in (1, 2)
    }
    names.add("imagesTs/hippocampus_003.nii.gz")
    forks = {name.replace("/", "/._") for name in names}
    assert tree(folder) == names | forks | {"dataset.json"}
    for name in names:
        volume = nibabel.load(folder / name)
        assert len(volume.shape) == 3 and volume.header.get_zooms() == (1.0, 1.0, 1.0)
        assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
    for name in forks:
        with pytest.raises(nibabel.filebasedimages.ImageFileError):
            nibabel.load(folder / name)


def test_dataset_json_names_every_volume(tmp_path: Path) -> None:
    write(tmp_path, 3, 0)
    folder = tmp_path / "Task04_Hippocampus"
    description = json.loads((folder / "dataset.json").read_text())
    assert description["labels"] == {"0": "background", "1": "Anterior", "2": "Posterior"}
    assert description["modality"] == {"0": "MRI"} and description["tensorImageSize"] == "3D"
    assert (description["numTraining"], description["numTest"]) == (2, 1)
    assert "relase" in description
    assert description["test"] == ["./imagesTs/hippocampus_003.nii.gz"]
    for pair in description["training"]:
        assert pair["image"].startswith("./imagesTr/")
        image, label = (nibabel.load(folder / pair[kind]) for kind in ("image", "label"))
        assert image.shape == label.shape
        assert image.get_data_dtype() == np.float32 and label.get_data_dtype() == np.uint8
        voxels = np.asarray(image.dataobj)
        assert voxels.max() > 100 and np.unique(np.asarray(label.dataobj)).tolist() == [0, 1, 2]
