import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data.layouts.bids import BidsReader
from nas.data.readers import open_reader, survey
from nas.errors import DataError
from nas.settings import DataSettings

# background, a ring of myelin and the axon inside, in numbers of classes
SCENE = np.array([[0, 2, 2, 2], [0, 2, 1, 2], [0, 2, 2, 2]], dtype=np.uint8)
BOTH = np.array([0, 255, 127], dtype=np.uint8)[SCENE]


def _save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def _image(root: Path, subject: str, sample: str, modality: str = "SEM") -> Path:
    name = f"{subject}_sample-{sample}_{modality}.png"
    return _save(root / subject / "micr" / name, np.full((3, 4), 51, np.uint8))


def _label(root: Path, subject: str, sample: str, kind: str, pixels: np.ndarray) -> Path:
    name = f"{subject}_sample-{sample}_SEM_seg-{kind}-manual.png"
    return _save(root / "derivatives" / "labels" / subject / "micr" / name, pixels)


def _data(root: Path) -> Path:
    """Two samples of one rat with both kinds of labels, and one of another."""
    for subject, sample in (("sub-rat1", "data1"), ("sub-rat1", "data10"), ("sub-rat2", "data5")):
        _image(root, subject, sample)
        _label(root, subject, sample, "axonmyelin", BOTH)
        _label(root, subject, sample, "axon", np.where(SCENE == 1, 255, 0).astype(np.uint8))
        _label(root, subject, sample, "myelin", np.where(SCENE == 2, 255, 0).astype(np.uint8))
    _sidecar(root / "sub-rat1" / "micr" / "sub-rat1_SEM.json", 0.1)
    _sidecar(root / "sub-rat2" / "micr" / "sub-rat2_sample-data5_SEM.json", 0.13)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "sem"}))
    return root


def _sidecar(path: Path, side: float) -> None:
    path.write_text(json.dumps({"PixelSize": [side, side], "PixelSizeUnits": "um"}))


def _survey(root: Path, **options: Any) -> BidsReader:
    reader = survey(DataSettings(dataset="bids", data_root=root, **options))
    assert isinstance(reader, BidsReader)
    return reader


def test_images_labels_and_subjects(tmp_path: Path) -> None:
    reader = open_reader(DataSettings(dataset="bids", data_root=_data(tmp_path)))
    assert [(case.id, case.group) for case in reader.cases] == [
        ("sub-rat1_sample-data1_SEM", "sub-rat1"),
        ("sub-rat1_sample-data10_SEM", "sub-rat1"),
        ("sub-rat2_sample-data5_SEM", "sub-rat2"),
    ]
    assert reader.classes == ("background", "axon", "myelin")
    assert reader.channels == 1
    for case in reader.cases:
        assert reader.read_mask(case).tolist() == SCENE.tolist()
        np.testing.assert_allclose(reader.read_image(case), np.full((1, 3, 4), 0.2), atol=1e-6)
    assert any("0.1 x 0.1 um (2 images), 0.13 x 0.13 um (1 images)" in n for n in reader.notes)
    assert not any("dataset_description" in note for note in reader.notes)


def test_two_files_of_labels(tmp_path: Path) -> None:
    _data(tmp_path)
    for path in tmp_path.rglob("*_seg-axonmyelin-manual.png"):
        path.unlink()
    reader = _survey(tmp_path)
    assert reader.problems == ()
    assert len(reader.cases[0].files) == 3
    assert reader.read_mask(reader.cases[0]).tolist() == SCENE.tolist()
    path = _label(tmp_path, "sub-rat2", "data5", "myelin", np.full((3, 4), 255, np.uint8))
    assert (_survey(tmp_path).read_mask(reader.cases[2]) == np.where(SCENE == 1, 1, 2)).all()
    path.unlink()
    (problem,) = _survey(tmp_path).problems
    assert "seg-axon-manual.png, but no" in problem
    assert "seg-myelin-manual.png: both are needed" in problem


def test_values_are_read_by_ranges(tmp_path: Path) -> None:
    _data(tmp_path)
    stored = BOTH.copy()
    stored[stored == 127] = 128
    stored[0, 0], stored[1, 0], stored[0, 1], stored[1, 2] = 64, 100, 130, 233
    _label(tmp_path, "sub-rat2", "data5", "axonmyelin", stored)
    reader = _survey(tmp_path)
    assert reader.read_mask(reader.cases[2]).tolist() == SCENE.tolist()


def test_alpha_is_dropped(tmp_path: Path) -> None:
    _data(tmp_path)
    path = _label(tmp_path, "sub-rat2", "data5", "axonmyelin", BOTH)
    Image.merge("LA", (Image.fromarray(BOTH), Image.new("L", (4, 3), 255))).save(path)
    reader = _survey(tmp_path)
    assert reader.read_mask(reader.cases[2]).tolist() == SCENE.tolist()


def test_masks_of_another_kind_are_refused(tmp_path: Path) -> None:
    _data(tmp_path)
    _label(tmp_path, "sub-rat2", "data5", "axonmyelin", SCENE)
    reader = _survey(tmp_path)
    with pytest.raises(DataError, match=r"axonmyelin-manual\.png holds the values 0, 1, 2; .*127"):
        reader.read_mask(reader.cases[2])
    mostly_others = np.full((3, 4), 180, dtype=np.uint8)
    mostly_others[0] = 255
    _label(tmp_path, "sub-rat2", "data5", "axonmyelin", mostly_others)
    with pytest.raises(DataError, match=r"axonmyelin-manual\.png holds the values 180, 255"):
        reader.read_mask(reader.cases[2])
    for kind in ("axon", "myelin"):
        _label(tmp_path, "sub-rat2", "data5", kind, SCENE)
    (tmp_path / reader.cases[2].files[1]).unlink()
    reader = _survey(tmp_path)
    with pytest.raises(DataError, match=r"axon-manual\.png holds the values 0, 1, 2; .*255"):
        reader.read_mask(reader.cases[2])


def test_images_without_labels_and_labels_without_images(tmp_path: Path) -> None:
    _data(tmp_path)
    _image(tmp_path, "sub-rat3", "data7")
    reader = _survey(tmp_path)
    assert reader.problems == ()
    assert len(reader.cases) == 3
    (note,) = [note for note in reader.notes if "have no label" in note]
    assert "1 images" in note
    assert "sub-rat3_sample-data7_SEM_seg-axonmyelin-manual.png" in note
    (tmp_path / "sub-rat2" / "micr" / "sub-rat2_sample-data5_SEM.png").unlink()
    problems = _survey(tmp_path).problems
    assert len(problems) == 3
    assert all("has no image in" in problem for problem in problems)


def test_sizes_must_agree(tmp_path: Path) -> None:
    _data(tmp_path)
    _label(tmp_path, "sub-rat2", "data5", "axonmyelin", BOTH[:, :3])
    reader = _survey(tmp_path)
    assert "is 3x4 and its mask" in reader.problems[0]
    assert len(reader.cases) == 2


def test_other_places_of_images(tmp_path: Path) -> None:
    for folder in ("ses-01/micr", "microscopy"):
        image = tmp_path / "sub-a" / folder / "sub-a_TEM.ome.tif"
        _save(image, np.zeros((3, 4), np.uint8))
        label = (
            tmp_path / "derivatives/labels/sub-a" / folder / "sub-a_TEM_seg-axonmyelin-manual.png"
        )
        _save(label, BOTH)
        (image.parent / "sub-a_TEM.json").write_text("{}")
        _save(image.parent / "sub-a_photo.png", np.zeros((3, 4), np.uint8))
        reader = _survey(tmp_path)
        assert [case.id for case in reader.cases] == ["sub-a_TEM"]
        assert any("1 images have no PixelSize" in note for note in reader.notes)
        assert any("no dataset_description.json" in note for note in reader.notes)
        image.unlink()
        label.unlink()


def test_units_that_are_not_stated(tmp_path: Path) -> None:
    _data(tmp_path)
    (tmp_path / "sub-rat2/micr/sub-rat2_sample-data5_SEM.json").write_text('{"PixelSize": [0.2]}')
    assert any("0.2 of a unit that is not stated" in note for note in _survey(tmp_path).notes)
    (tmp_path / "sub-rat2/micr/sub-rat2_sample-data5_SEM.json").write_text("{")
    with pytest.raises(DataError, match=r"data5_SEM\.json cannot be read"):
        _survey(tmp_path)


def test_colours_make_three_channels(tmp_path: Path) -> None:
    _data(tmp_path)
    _save(
        tmp_path / "sub-rat2" / "micr" / "sub-rat2_sample-data5_SEM.png",
        np.zeros((3, 4, 3), np.uint8) + np.array([0, 51, 255], np.uint8),
    )
    reader = _survey(tmp_path)
    assert reader.channels == 3
    assert reader.read_image(reader.cases[0]).shape == (3, 3, 4)
    assert _survey(tmp_path, image_channels=1).channels == 1


def test_groups_are_those_of_the_csv(tmp_path: Path) -> None:
    _data(tmp_path)
    csv = tmp_path / "groups.csv"
    csv.write_text("".join(f"{case.id}.png,all\n" for case in _survey(tmp_path).cases))
    assert {case.group for case in _survey(tmp_path, groups=csv).cases} == {"all"}


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images of BIDS microscopy.*sub-X/micr"):
        _survey(tmp_path)
    _image(tmp_path, "sub-rat3", "data7")
    with pytest.raises(DataError, match="no labels of its 1 images"):
        _survey(tmp_path)
