"""Readers of volumes, seen through the one of paired folders."""

import sys
from pathlib import Path

import numpy as np
import pytest

from nas.data.cases import Slice
from nas.data.layouts.volume_folder import holds_volumes, read_volume_folder
from nas.data.layouts.volume_layout import VolumeReader
from nas.errors import UsageError
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


def test_every_slice_is_a_case_of_its_volume(tmp_path: Path) -> None:
    reader = _read(_folder(tmp_path))
    assert reader.problems == ()
    assert len(reader.cases) == 12
    first = reader.cases[0]
    assert (first.id, first.group) == ("p0_000", "p0")
    assert first.image == Slice(tmp_path / "images" / "p0.nii.gz", 0)
    assert first.files == (tmp_path / "images" / "p0.nii.gz", tmp_path / "masks" / "p0.nii.gz")
    assert reader.cases[-1].id == "p1_005"
    assert reader.channels == 1
    assert reader.classes == ("background", "class 1", "class 2")
    assert reader.describe(first) == "int16 grey NIfTI volume, stored RAS"
    assert holds_volumes(tmp_path / "images")
    assert not holds_volumes(tmp_path)


@pytest.mark.parametrize(
    ("plane", "count", "size"),
    [("axial", 6, (5, 4)), ("coronal", 5, (6, 4)), ("sagittal", 4, (6, 5))],
)
def test_image_and_mask_are_cut_alike(
    tmp_path: Path, plane: str, count: int, size: tuple[int, int]
) -> None:
    reader = _read(_folder(tmp_path, 1), slices=plane, window=(0.0, 119.0))
    assert len(reader.cases) == count
    labels = _labels()
    for case in reader.cases:
        image, mask = reader.read_image(case), reader.read_mask(case)
        assert image.shape == (1, *size)
        assert mask.shape == size
        assert mask.dtype == np.uint8
        # The ramp numbers the voxels, so that every pixel says which voxel it is.
        voxels = np.rint(image[0] * 119).astype(int)
        assert (mask == labels.ravel()[voxels]).all()
        assert (voxels[:, 0] > voxels[:, -1]).all()


def test_only_headers_are_read_where_empty_slices_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder(tmp_path)

    def fail(path: Path) -> np.ndarray:
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr("nas.data.volumes.open_volume", fail)
    monkeypatch.setattr("nas.data.volumes.open_label_volume", fail)
    assert len(_read(tmp_path, class_names=("a", "b", "c")).cases) == 12
    with pytest.raises(AssertionError):
        _read(tmp_path, empty_slices="drop")


def test_empty_slices_are_dropped(tmp_path: Path) -> None:
    reader = _read(_folder(tmp_path), empty_slices="drop")
    assert [case.id for case in reader.cases][:4] == ["p0_001", "p0_002", "p0_003", "p0_004"]
    assert any("4 of 12 slices hold background only" in note for note in reader.notes)
    assert all(reader.read_mask(case).any() for case in reader.cases)
    coronal = _read(tmp_path, empty_slices="drop", slices="coronal")
    assert [case.id for case in coronal.cases][:2] == ["p0_000", "p0_004"]


def test_notes_say_window_plane_and_sides(tmp_path: Path) -> None:
    _folder(tmp_path, 1)
    assert any(
        "axial slices, anterior on top, the patient's right on the image's left; the percentiles"
        in note
        for note in _read(tmp_path).notes
    )
    notes = _read(tmp_path, window=(-160.0, 240.0), slices="sagittal").notes
    assert any("anterior on the image's left; -160 becomes 0 and 240 becomes 1" in n for n in notes)
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    for folder in ("images", "masks"):
        _save(tmp_path / folder / "p0.nii.gz", _labels(), affine)
    assert any("1 x 5 mm (width x height)" in n for n in _read(tmp_path, slices="coronal").notes)
    assert not any("not square" in note for note in _read(tmp_path).notes)


def test_an_orientation_that_is_not_stated_is_noted(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        image = nib.Nifti1Image(_labels(), None)
        image.header["sform_code"] = image.header["qform_code"] = 0
        (tmp_path / folder).mkdir()
        nib.save(image, tmp_path / folder / "a.nii.gz")
    assert any("do not state their orientation" in note for note in _read(tmp_path).notes)


def test_groups_are_those_of_the_csv(tmp_path: Path) -> None:
    _folder(tmp_path)
    csv = tmp_path / "groups.csv"
    csv.write_text("file,group\np0,anna\np1,anna\n")
    reader = _read(tmp_path, groups=csv)
    assert {case.group for case in reader.cases} == {"anna"}
    csv.write_text("file,group\np0,anna\n")
    assert "no group for 1 of 2" in _read(tmp_path, groups=csv).problems[0]


def test_channels(tmp_path: Path) -> None:
    _save(tmp_path / "images" / "a.nii.gz", np.stack([RAMP, RAMP * 2], -1))
    _save(tmp_path / "masks" / "a.nii.gz", _labels())
    reader = _read(tmp_path)
    assert reader.channels == 2
    assert reader.read_image(reader.cases[0]).shape == (2, 5, 4)
    with pytest.raises(UsageError, match="--image-channels 3 does not fit images of 2 channels"):
        _read(tmp_path, image_channels=3)
    _save(tmp_path / "images" / "a.nii.gz", RAMP)
    grey = _read(tmp_path, image_channels=3)
    image = grey.read_image(grey.cases[0])
    assert image.shape == (3, 5, 4)
    assert (image[0] == image[2]).all()


def test_damaged_masks_are_told_where_they_are_read(tmp_path: Path) -> None:
    _folder(tmp_path)
    noise = np.random.default_rng(0).integers(0, 3, (40, 50, 60)).astype(np.uint8)
    path = _save(tmp_path / "masks" / "p0.nii.gz", noise)
    _save(tmp_path / "images" / "p0.nii.gz", noise)
    content = bytearray(path.read_bytes())
    content[-8] ^= 255  # of the check sum
    path.write_bytes(bytes(content))
    reader = _read(tmp_path, empty_slices="drop")
    assert any("masks/p0.nii.gz is damaged" in problem for problem in reader.problems)


def test_without_nibabel_the_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder(tmp_path, 1)
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(UsageError, match=r"pip install 'discriminator-nas\[medical\]'"):
        _read(tmp_path)
