import itertools
import pickle
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.volumes import (
    VolumeCache,
    check_same_geometry,
    cut,
    open_label_volume,
    open_volume,
    picture_size,
    read_volume_header,
    stem,
)
from nas.errors import DataError, UsageError

nib = pytest.importorskip("nibabel")

SHAPE = (5, 6, 7)
SPACING = (1.0, 2.0, 3.0)
CORNERS = {
    "left posterior inferior": 1,
    "right posterior inferior": 2,
    "left anterior inferior": 3,
    "right anterior inferior": 4,
    "left posterior superior": 5,
    "right posterior superior": 6,
    "left anterior superior": 7,
    "right anterior superior": 8,
}
ORIENTATIONS = ["".join(codes) for codes in itertools.permutations("RAS")] + ["LPS", "LAS", "PIR"]


def _marked() -> np.ndarray:
    """Voxels in RAS whose corners are marked by where in the patient they are."""
    voxels = np.zeros(SHAPE, dtype=np.int16)
    for name, value in CORNERS.items():
        side, depth, height = name.split()
        place = (
            -1 if side == "right" else 0,
            -1 if depth == "anterior" else 0,
            -1 if height == "superior" else 0,
        )
        voxels[place] = value
    return voxels


def _write(path: Path, ras: np.ndarray, orientation: str = "RAS") -> Path:
    """Store voxels given in RAS in another orientation, with the affine that says so."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-10.0, -20.0, -30.0)
    image = nib.Nifti1Image(ras, affine)
    wanted = nib.orientations.axcodes2ornt(tuple(orientation))
    image = image.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), wanted)
    )
    image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    nib.save(image, path)
    return path


def _corners(picture: np.ndarray) -> list[list[int]]:
    return picture[np.ix_([0, -1], [0, -1])].astype(int).tolist()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_gives_the_radiological_picture(tmp_path: Path, orientation: str) -> None:
    path = _write(tmp_path / "a.nii.gz", _marked(), orientation)
    header = read_volume_header(path)
    assert header.orientation == orientation
    assert header.shape == SHAPE
    assert header.spacing == pytest.approx(SPACING)
    volume = open_volume(path)[..., 0]
    c = CORNERS
    assert _corners(cut(volume, "axial", 6)) == [
        [c["right anterior superior"], c["left anterior superior"]],
        [c["right posterior superior"], c["left posterior superior"]],
    ]
    assert _corners(cut(volume, "axial", 0)) == [
        [c["right anterior inferior"], c["left anterior inferior"]],
        [c["right posterior inferior"], c["left posterior inferior"]],
    ]
    assert _corners(cut(volume, "coronal", 0)) == [
        [c["right posterior superior"], c["left posterior superior"]],
        [c["right posterior inferior"], c["left posterior inferior"]],
    ]
    assert _corners(cut(volume, "sagittal", 0)) == [
        [c["left anterior superior"], c["left posterior superior"]],
        [c["left anterior inferior"], c["left posterior inferior"]],
    ]
    labels = open_label_volume(path)
    assert labels.dtype == np.uint8
    assert (labels == _marked()).all()


def test_size_of_pictures_is_known_from_the_header(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nii.gz", _marked(), "PIR")
    header, volume = read_volume_header(path), open_volume(path)[..., 0]
    for plane in ("axial", "coronal", "sagittal"):
        assert cut(volume, plane, 1).shape == picture_size(header, plane)
    assert picture_size(header, "axial") == (6, 5)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ORIENTATIONS), st.integers(0, 2**31))
def test_reorientation_is_nibabels_canonical_one(orientation: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 6, 3).tolist())
    ras = generator.integers(-500, 500, shape).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder) / "a.nii", ras, orientation)
        expected = nib.as_closest_canonical(nib.load(path)).get_fdata()
        np.testing.assert_array_equal(open_volume(path)[..., 0], expected)


def test_slope_and_intercept_count(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    image = nib.Nifti1Image(np.array([[[0]], [[50]]], dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -1000.0)
    nib.save(image, path)
    np.testing.assert_allclose(open_volume(path).ravel(), [-1000.0, -900.0])


def test_channels_are_the_last_axis(tmp_path: Path) -> None:
    voxels = np.stack([_marked(), _marked() * 10], axis=-1)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii.gz")
    header = read_volume_header(tmp_path / "a.nii.gz")
    assert header.channels == 2
    assert str(header) == "int16 2-channel NIfTI volume, stored RAS"
    np.testing.assert_array_equal(open_volume(tmp_path / "a.nii.gz"), voxels)
    with pytest.raises(DataError, match=r"a\.nii\.gz has several channels"):
        open_label_volume(tmp_path / "a.nii.gz")


def test_axes_of_one_voxel_are_no_channels(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(_marked()[..., None], np.eye(4)), tmp_path / "a.nii.gz")
    assert open_label_volume(tmp_path / "a.nii.gz").shape == SHAPE
    nib.save(nib.Nifti1Image(_marked()[..., 0], np.eye(4)), tmp_path / "flat.nii.gz")
    assert read_volume_header(tmp_path / "flat.nii.gz").shape == (5, 6, 1)
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 2, 2), "i2"), np.eye(4)), tmp_path / "b.nii.gz")
    with pytest.raises(DataError, match=r"b\.nii\.gz has the shape 2x2x2x2x2"):
        read_volume_header(tmp_path / "b.nii.gz")


def test_masks_are_whole_numbers(tmp_path: Path) -> None:
    path = _write(tmp_path / "whole.nii.gz", _marked().astype(np.float32))
    assert open_label_volume(path).max() == 8
    path = _write(tmp_path / "odd.nii.gz", _marked().astype(np.float32) / 2)
    with pytest.raises(DataError, match=r"odd\.nii\.gz holds the values 0\.5, 1\.5, 2\.5, 3\.5;"):
        open_label_volume(path)
    path = _write(tmp_path / "signed.nii.gz", -_marked())
    assert open_label_volume(path).min() == -8


def test_same_geometry_is_accepted(tmp_path: Path) -> None:
    image = read_volume_header(_write(tmp_path / "a.nii.gz", _marked(), "LPS"))
    mask = read_volume_header(_write(tmp_path / "b.nii.gz", _marked(), "LPS"))
    check_same_geometry(image, mask, "mask")


def test_other_orientation_shape_or_place_is_refused(tmp_path: Path) -> None:
    image = read_volume_header(_write(tmp_path / "a.nii.gz", _marked(), "RAS"))
    turned = read_volume_header(_write(tmp_path / "b.nii.gz", _marked(), "LPS"))
    with pytest.raises(
        DataError, match=r"a\.nii\.gz is stored RAS .*b\.nii\.gz LPS .*one orientation"
    ):
        check_same_geometry(image, turned, "mask")
    smaller = read_volume_header(_write(tmp_path / "c.nii.gz", _marked()[:, :, 1:]))
    with pytest.raises(DataError, match=r"5x6x7 voxels.*c\.nii\.gz RAS with 5x6x6.*one shape"):
        check_same_geometry(image, smaller, "mask")
    moved = nib.load(tmp_path / "a.nii.gz")
    affine = moved.affine.copy()
    affine[0, 3] += 0.5
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), affine), tmp_path / "d.nii.gz")
    with pytest.raises(DataError, match=r"a\.nii\.gz.*d\.nii\.gz.*up to 0\.5 voxels apart"):
        check_same_geometry(image, read_volume_header(tmp_path / "d.nii.gz"), "mask")
    affine[0, 3] -= 0.45
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), affine), tmp_path / "e.nii.gz")
    check_same_geometry(image, read_volume_header(tmp_path / "e.nii.gz"), "mask")


def test_window_maps_values_to_0_and_1(tmp_path: Path) -> None:
    voxels = np.array([-2000, -160, 40, 240, 3000], dtype=np.int16).reshape(5, 1, 1)
    path = _write(tmp_path / "a.nii.gz", voxels)
    image = VolumeCache((-160.0, 240.0)).image(path, "axial", 0)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, [[[1, 1, 0.5, 0, 0]]])


def test_percentiles_are_those_of_the_whole_volume(tmp_path: Path) -> None:
    voxels = np.arange(20 * 10 * 5, dtype=np.float32).reshape(20, 10, 5)
    path = _write(tmp_path / "a.nii.gz", voxels)
    low, high = np.percentile(voxels, [0.5, 99.5])
    image = VolumeCache().image(path, "axial", 2)
    expected = np.clip((voxels[:, :, 2] - low) / (high - low), 0, 1)[::-1, ::-1].T
    np.testing.assert_allclose(image[0], expected, atol=1e-6)


def test_each_channel_has_limits_of_its_own_and_nan_is_0(tmp_path: Path) -> None:
    first = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    second = first * 100 - 7
    first = first.copy()
    first[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(np.stack([first, second], -1), np.eye(4)), tmp_path / "a.nii.gz")
    image = VolumeCache().image(tmp_path / "a.nii.gz", "axial", 0)
    assert image.shape == (2, 10, 10)
    assert image[0, -1, -1] == 0
    np.testing.assert_allclose(image[0, :-1], image[1, :-1], atol=2e-3)


def test_a_volume_of_one_value_needs_a_window(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nii.gz", np.full(SHAPE, 5, dtype=np.int16))
    with pytest.raises(DataError, match=r"a\.nii\.gz has 5 as percentile.*--window"):
        VolumeCache().image(path, "axial", 0)


def test_the_cache_decodes_once_and_forgets_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ramp = np.arange(210, dtype=np.int16).reshape(SHAPE)
    paths = [_write(tmp_path / f"{k}.nii.gz", ramp) for k in range(3)]
    decoded: list[str] = []

    def counting(path: Path) -> np.ndarray:
        decoded.append(path.name[0])
        return open_volume(path)

    monkeypatch.setattr("nas.data.volumes.open_volume", counting)
    cache = VolumeCache(kept=2)
    for k in (0, 0, 1, 0, 2, 0, 1):
        cache.image(paths[k], "axial", k)
    assert decoded == ["0", "1", "2", "1"]
    copied = pickle.loads(pickle.dumps(cache))
    copied.image(paths[1], "axial", 0)
    assert len(decoded) == 5


def test_threads_share_the_cache(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nii.gz", np.arange(210, dtype=np.int16).reshape(SHAPE))
    cache = VolumeCache(kept=1)
    expected = [VolumeCache().image(path, "axial", k) for k in range(7)]
    wrong: list[int] = []

    def read(number: int) -> None:
        if not np.array_equal(cache.image(path, "axial", number), expected[number]):
            wrong.append(number)

    threads = [threading.Thread(target=read, args=(k,)) for k in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.nii\.gz does not exist"):
        read_volume_header(tmp_path / "none.nii.gz")
    (tmp_path / "text.nii.gz").write_text("no volume")
    with pytest.raises(DataError, match=r"text\.nii\.gz is not a NIfTI file"):
        read_volume_header(tmp_path / "text.nii.gz")
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    path = _write(tmp_path / "cut.nii.gz", noise)
    path.write_bytes(path.read_bytes()[:-4000])
    read_volume_header(path)
    with pytest.raises(DataError, match=r"cut\.nii\.gz is damaged"):
        open_volume(path)
    content = bytearray(_write(tmp_path / "flipped.nii.gz", noise).read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "flipped.nii.gz").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"flipped\.nii\.gz is damaged"):
        open_volume(tmp_path / "flipped.nii.gz")


def test_an_affine_without_volume_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_marked(), np.diag([1.0, 1.0, 1.0, 1.0]))
    image.header["sform_code"] = 1
    image.header["srow_z"] = (0.0, 0.0, 0.0, 0.0)
    with (tmp_path / "a.nii").open("wb") as file:
        file.write(image.header.binaryblock + bytes(4) + _marked().tobytes("F"))
    with pytest.raises(DataError, match=r"a\.nii has an affine"):
        read_volume_header(tmp_path / "a.nii")


def test_colours_are_refused(tmp_path: Path) -> None:
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match=r"a\.nii\.gz stores colours"):
        read_volume_header(tmp_path / "a.nii.gz")


def test_without_nibabel_the_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "a.nii.gz", _marked())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(UsageError, match=r"pip install 'discriminator-nas\[medical\]'"):
        read_volume_header(path)


def test_stems() -> None:
    names = ("a.nii.gz", "b.nii", "c.d.nii.gz", "E.NII.GZ")
    assert [stem(Path(name)) for name in names] == ["a", "b", "c.d", "E"]
