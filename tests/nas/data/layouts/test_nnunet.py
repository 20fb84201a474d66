import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.cases import UNKNOWN
from nas.data.layouts.nnunet import NnunetReader
from nas.data.layouts.volume_layout import VolumeReader
from nas.data.readers import open_reader, survey
from nas.errors import DataError, UsageError
from nas.settings import DataSettings

LABELS = {"background": 0, "gland": 1, "ignore": 2}
LABEL = np.array([[0, 1, 2], [1, 0, 0]], dtype=np.uint8)


def _save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def _describe(folder: Path, **content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def _colours(root: Path, ending: str = ".png", count: int = 2) -> Path:
    folder = _describe(
        root / "Dataset120_Glands",
        channel_names={"0": "R", "1": "G", "2": "B"},
        labels=LABELS,
        numTraining=count,
        file_ending=ending,
    )
    for k in range(count):
        pixels = np.full((2, 3, 3), 51 * k, dtype=np.uint8)
        pixels[..., 0] = 255
        _save(folder / "imagesTr" / f"g_{k}_0000{ending}", pixels)
        _save(folder / "labelsTr" / f"g_{k}{ending}", LABEL)
    return folder


def _two_channels(root: Path) -> Path:
    folder = _describe(
        root / "Dataset001_Two",
        channel_names={"0": "DAPI", "1": "actin"},
        labels={"background": 0, "cell": 1},
        numTraining=1,
        file_ending=".tif",
    )
    for k in range(2):
        _save(folder / "imagesTr" / f"c1_000{k}.tif", np.full((2, 3), 13107 * (k + 1), np.uint16))
    _save(folder / "labelsTr" / "c1.tif", LABEL % 2)
    return folder


def _settings(root: Path, **options: object) -> DataSettings:
    return DataSettings(dataset="nnunet", data_root=root, **options)  # type: ignore[arg-type]


def _pictures(root: Path, **options: object) -> NnunetReader:
    reader = survey(_settings(root, **options))
    assert isinstance(reader, NnunetReader)
    return reader


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
def test_colours_in_one_file(tmp_path: Path, ending: str) -> None:
    _colours(tmp_path, ending)
    reader = open_reader(_settings(tmp_path))
    assert [case.id for case in reader.cases] == ["g_0", "g_1"]
    assert reader.channels == 3
    assert reader.classes == ("background", "gland")
    assert reader.lists is None
    image = reader.read_image(reader.cases[1])
    np.testing.assert_allclose(image[:, 0, 0], [1, 0.2, 0.2], atol=1e-6)
    assert reader.read_mask(reader.cases[0]).tolist() == [[0, 1, UNKNOWN], [1, 0, 0]]
    assert any("label 2 (ignore)" in note for note in reader.notes)
    assert reader.describe(reader.cases[0]) == "8-bit RGB"
    assert _pictures(tmp_path, image_channels=1).read_image(reader.cases[0]).shape == (1, 2, 3)


def test_the_folder_itself_may_be_named(tmp_path: Path) -> None:
    assert len(_pictures(_colours(tmp_path)).cases) == 2


def test_a_file_for_each_channel(tmp_path: Path) -> None:
    folder = _two_channels(tmp_path)
    reader = _pictures(folder)
    assert reader.problems == ()
    assert reader.channels == 2
    (case,) = reader.cases
    assert len(case.files) == 3
    image = reader.read_image(case)
    np.testing.assert_allclose(image[:, 0, 0], [0.2, 0.4], atol=1e-6)
    assert reader.describe(case) == "16-bit grey, 2 files"
    with pytest.raises(UsageError, match="--image-channels 3 does not fit images of 2 channels"):
        _pictures(folder, image_channels=3)


def test_version_1(tmp_path: Path) -> None:
    nib = pytest.importorskip("nibabel")
    folder = _describe(
        tmp_path / "Task501_Old",
        modality={"0": "CT"},
        labels={"0": "background", "1": "liver"},
        numTraining=1,
        training=[{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    )
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for name, content in (("imagesTr/a_0000", voxels), ("labelsTr/a", voxels % 2)):
        (folder / name).parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(content, np.eye(4)), folder / f"{name}.nii.gz")
    reader = survey(_settings(tmp_path))
    assert isinstance(reader, VolumeReader)
    assert reader.classes == ("background", "liver")
    assert [case.id for case in reader.cases] == ["a_000", "a_001", "a_002", "a_003"]
    assert reader.read_mask(reader.cases[3]).tolist() == [[1, 1]] * 3


def test_volumes_of_two_channels_with_an_ignore_label(tmp_path: Path) -> None:
    nib = pytest.importorskip("nibabel")
    folder = _describe(
        tmp_path / "Dataset005_Prostate",
        channel_names={"0": "T2", "1": "ADC"},
        labels=LABELS,
        numTraining=2,
        file_ending=".nii.gz",
    )
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for sub, name in (("Tr", "a"), ("Tr", "b"), ("Ts", "c")):
        for file, content in (
            (f"images{sub}/{name}_0000", voxels),
            (f"images{sub}/{name}_0001", voxels * 2),
            (f"labels{sub}/{name}", voxels % 3),
        ):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(content, np.eye(4)), folder / f"{file}.nii.gz")
    reader = survey(_settings(tmp_path, window=(0.0, 23.0)))
    assert reader.problems == ()
    assert reader.channels == 2
    image, mask = reader.read_image(reader.cases[0]), reader.read_mask(reader.cases[0])
    assert set(np.unique(mask)) <= {0, 1, UNKNOWN}
    numbers = np.rint(image[0] * 23).astype(int)
    assert (mask == np.array([0, 1, UNKNOWN])[numbers % 3]).all()
    np.testing.assert_allclose(image[1], np.clip(image[0] * 2, 0, 1), atol=1e-6)
    assert len(reader.cases[0].files) == 3
    assert reader.lists is not None
    assert reader.lists["train"] == tuple(f"{n}_{k:03d}" for n in "ab" for k in range(4))
    assert reader.lists["test"] == tuple(f"c_{k:03d}" for k in range(4))
    turned = nib.Nifti1Image(voxels, np.diag([-1.0, 1.0, 1.0, 1.0]))
    nib.save(turned, folder / "imagesTr" / "a_0001.nii.gz")
    problems = survey(_settings(tmp_path)).problems
    assert "stored RAS" in problems[0]
    assert "its other channel" in problems[0]


def test_each_of_many_channels_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nib = pytest.importorskip("nibabel")
    folder = _describe(
        tmp_path / "Dataset006_Many",
        channel_names={str(k): "MRI" for k in range(6)},
        labels={"background": 0, "a": 1},
        numTraining=1,
        file_ending=".nii.gz",
    )
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for file in (*(f"imagesTr/a_{k:04d}" for k in range(6)), "labelsTr/a"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels % 2 + voxels, np.eye(4)), folder / f"{file}.nii.gz")
    decoded: list[str] = []

    def counting(path: Path) -> np.ndarray:
        decoded.append(path.name)
        return voxels[..., None].astype(np.float32)

    monkeypatch.setattr("nas.data.volumes.open_volume", counting)
    monkeypatch.setattr("nas.data.volumes.open_label_volume", lambda path: voxels % 2)
    reader = survey(_settings(tmp_path))
    for case in reader.cases:
        assert reader.read_image(case).shape == (6, 3, 2)
        reader.read_mask(case)
    assert len(decoded) == 6


def test_test_images_with_labels_are_a_list(tmp_path: Path) -> None:
    folder = _colours(tmp_path)
    _save(folder / "imagesTs" / "t_0000.png", np.zeros((2, 3, 3), np.uint8))
    assert any("imagesTs has no labels" in note for note in _pictures(tmp_path).notes)
    assert _pictures(tmp_path).lists is None
    _save(folder / "labelsTs" / "t.png", LABEL)
    reader = _pictures(tmp_path)
    assert reader.lists == {"train": ("g_0", "g_1"), "val": (), "test": ("t",)}
    assert len(reader.cases) == 3
    _save(folder / "imagesTs" / "g_1_0000.png", np.zeros((2, 3, 3), np.uint8))
    _save(folder / "labelsTs" / "g_1.png", LABEL)
    assert "g_1 stands in imagesTr and in imagesTs" in _pictures(tmp_path).problems[0]


def test_notes_of_counts_and_folds(tmp_path: Path) -> None:
    folder = _colours(tmp_path)
    content = json.loads((folder / "dataset.json").read_text())
    _describe(folder, **{**content, "numTraining": 7})
    (folder / "splits_final.json").write_text("[]")
    notes = _pictures(tmp_path).notes
    assert any("numTraining is 7; there are 2" in note for note in notes)
    assert any("--split" in note and "splits_final.json --fold 0" in note for note in notes)


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    folder = _colours(tmp_path, count=3)
    (folder / "labelsTr" / "g_0.png").unlink()
    _save(folder / "labelsTr" / "lost.png", LABEL)
    _save(folder / "labelsTr" / "g_1.png", LABEL[:, :2])
    _save(folder / "imagesTr" / "odd.png", LABEL)
    (folder / "imagesTr" / ".hidden_0000.png").write_bytes(b"")
    reader = _pictures(tmp_path)
    problems = "\n".join(reader.problems)
    assert "g_0_0000.png has no label: expected" in problems
    assert "lost.png has no image" in problems
    assert "is 2x3 and its label" in problems
    assert "odd.png does not say its channel" in problems
    assert len(reader.problems) == 4
    assert [case.id for case in reader.cases] == ["g_2"]


def test_each_missing_channel_is_told(tmp_path: Path) -> None:
    folder = _two_channels(tmp_path)
    for name in ("a", "b"):
        _save(folder / "labelsTr" / f"{name}.tif", LABEL % 2)
        _save(folder / "imagesTr" / f"{name}_0000.tif", LABEL)
    _save(folder / "imagesTr" / "b_0001.tif", LABEL)
    _save(folder / "imagesTr" / "b_0002.tif", LABEL)
    problems = _pictures(folder).problems
    assert len(problems) == 2
    assert "lacks a_0001.tif" in problems[0]
    assert "holds b_0002.tif; dataset.json names 2 channel(s)" in problems[1]


def test_colours_where_grey_is_promised(tmp_path: Path) -> None:
    folder = _two_channels(tmp_path)
    _save(folder / "imagesTr" / "c1_0001.tif", np.zeros((2, 3, 3), np.uint8))
    (problem,) = _pictures(folder).problems
    assert "dataset.json names 2 channel(s) (DAPI, actin)" in problem


def test_unexpected_labels_are_refused(tmp_path: Path) -> None:
    folder = _colours(tmp_path)
    _save(folder / "labelsTr" / "g_0.png", LABEL * 100)
    reader = _pictures(tmp_path)
    with pytest.raises(DataError, match=r"g_0\.png holds the values 100, 200; expected 0, 1, 2"):
        reader.read_mask(reader.cases[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file_ending": ".nrrd"}, r"the file_ending \.nrrd; \.png, .*\.nii\.gz are read"),
        ({"file_ending": ".mha"}, r"the file_ending \.mha"),
        ({"file_ending": ".jpg"}, r"the file_ending \.jpg"),
        ({"file_ending": None}, "no file_ending"),
        ({"overwrite_image_reader_writer": "Tiff3DIO"}, "3D TIFF"),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "regions that overlap"),
        ({"labels": {"background": 0, "a": 3}}, "numbers its labels 0, 3"),
        ({"dataset": {"g_0": {}}}, "one by one"),
    ],
)
def test_what_dataset_json_may_not_say(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = _colours(tmp_path)
    content = json.loads((folder / "dataset.json").read_text())
    _describe(folder, **{**content, **change})
    with pytest.raises(DataError, match=rf"dataset\.json .*{message}"):
        survey(_settings(tmp_path))


def test_options_of_volumes_mean_nothing_with_pictures(tmp_path: Path) -> None:
    _colours(tmp_path)
    for option in ({"window": (0.0, 1.0)}, {"slices": "coronal"}, {"empty_slices": "drop"}):
        with pytest.raises(UsageError, match="volumes alone"):
            survey(_settings(tmp_path, **option))


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="DatasetNNN_Name"):
        survey(_settings(tmp_path))
    folder = _colours(tmp_path, count=0)
    with pytest.raises(DataError, match="There is no folder .*imagesTr"):
        survey(_settings(tmp_path))
    (folder / "imagesTr").mkdir()
    (folder / "labelsTr").mkdir()
    with pytest.raises(DataError, match="imagesTr holds no complete case"):
        survey(_settings(tmp_path))


def test_groups_are_those_of_the_csv(tmp_path: Path) -> None:
    _colours(tmp_path)
    csv = tmp_path / "groups.csv"
    csv.write_text("g_0,anna\ng_1,berta\n")
    assert [case.group for case in _pictures(tmp_path, groups=csv).cases] == ["anna", "berta"]
