import sys
from pathlib import Path

import numpy as np
import pytest

from nas.data.dicom import dicom_header, open_dicom
from nas.data.images import open_image, open_mask, read_header
from nas.errors import DataError, UsageError

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless  # noqa: E402

STORED = np.array([[0, 1000], [2000, 4095]], dtype=np.uint16)


def _write(path: Path, pixels: np.ndarray, **elements: object) -> Path:
    """A secondary capture image; further elements by their keywords."""
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    found.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    found.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    found.SOPInstanceUID = "1.2.3"
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    found.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        found.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    found.BitsAllocated, found.BitsStored, found.HighBit = bits, bits, bits - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    found.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    found.save_as(path, enforce_file_format=True)
    return path


def _twelve_bits(path: Path, **elements: object) -> Path:
    return _write(path, STORED, BitsStored=12, HighBit=11, **elements)


def test_without_a_window_the_stored_bits_are_the_range(tmp_path: Path) -> None:
    path = _twelve_bits(tmp_path / "a.dcm")
    image = open_dicom(path)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, STORED[None] / 4095, atol=1e-6)
    assert str(dicom_header(path)) == "12-bit grey"
    assert (dicom_header(path).height, dicom_header(path).width) == (2, 2)


def test_signed_values(tmp_path: Path) -> None:
    stored = np.array([[-32768, -16384], [0, 32767]], dtype=np.int16)
    image = open_dicom(_write(tmp_path / "a.dcm", stored))
    np.testing.assert_allclose(image, (stored[None] + 32768.0) / 65535, atol=1e-6)


def test_the_window_that_is_asked_for_is_in_rescaled_values(tmp_path: Path) -> None:
    path = _twelve_bits(
        tmp_path / "a.dcm", RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=0, WindowWidth=9
    )
    # HU: -1024, -24, 976, 3071
    image = open_dicom(path, window=(-524.0, 1476.0))
    np.testing.assert_allclose(image, [[[0.0, 0.25], [0.75, 1.0]]], atol=1e-6)


def test_rescaled_range_without_a_window(tmp_path: Path) -> None:
    path = _twelve_bits(tmp_path / "a.dcm", RescaleSlope=-2, RescaleIntercept=10)
    np.testing.assert_allclose(open_dicom(path), 1 - STORED[None] / 4095, atol=1e-6)


def test_the_first_window_of_the_file_is_used(tmp_path: Path) -> None:
    path = _twelve_bits(tmp_path / "a.dcm", WindowCenter=[1000.5, 5], WindowWidth=[2001, 6])
    # PS3.3 C.11.2.1.2.1: from c - 0.5 - (w - 1) / 2 = 0 to c - 0.5 + (w - 1) / 2 = 2000.
    np.testing.assert_allclose(open_dicom(path), [[[0.0, 0.5], [1.0, 1.0]]], atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(tmp_path: Path, function: str) -> None:
    path = _twelve_bits(
        tmp_path / "a.dcm",
        WindowCenter=1500,
        WindowWidth=2200,
        VOILUTFunction=function,
        RescaleSlope=2,
        RescaleIntercept=-100,
    )
    found = pydicom.dcmread(path)
    values = pydicom.pixels.apply_modality_lut(found.pixel_array, found)
    windowed = pydicom.pixels.apply_windowing(values, found)
    low, high = -100.0, 2 * 4095 - 100.0
    np.testing.assert_allclose(open_dicom(path)[0], (windowed - low) / (high - low), atol=1e-6)


def test_a_window_of_width_1_is_a_step(tmp_path: Path) -> None:
    path = _twelve_bits(tmp_path / "a.dcm", WindowCenter=2000, WindowWidth=1)
    assert open_dicom(path).tolist() == [[[0, 0], [1, 1]]]


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    path = _twelve_bits(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(open_dicom(path), 1 - STORED[None] / 4095, atol=1e-6)


def test_tables_of_values_are_looked_up(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4, 0, 8]
    table.LUTData = bytes([0, 51, 102, 255])
    table["LUTData"].VR = "OW"
    table.LUTData = np.array([0, 51, 102, 255], dtype="<u2").tobytes()
    stored = np.array([[0, 1], [2, 3]], dtype=np.uint8)
    path = _write(tmp_path / "a.dcm", stored, VOILUTSequence=[table])
    np.testing.assert_allclose(open_dicom(path), [[[0.0, 0.2], [0.4, 1.0]]], atol=1e-6)


def test_colours_come_channels_first(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 51], [0, 102, 0]]], dtype=np.uint8)
    path = _write(tmp_path / "a.dcm", colours)
    np.testing.assert_allclose(open_dicom(path), np.moveaxis(colours, -1, 0) / 255, atol=1e-6)
    assert str(dicom_header(path)) == "8-bit RGB"
    with pytest.raises(UsageError, match=r"a\.dcm has colours"):
        open_dicom(path, window=(0.0, 1.0))


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    # Y, Cb, Cr of pure red by ITU-R BT.601, full range.
    ybr = np.array([[[76, 85, 255]]], dtype=np.uint8)
    path = _write(tmp_path / "a.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    np.testing.assert_allclose(open_dicom(path).ravel(), [1, 0, 0], atol=0.02)


def test_compression_that_needs_no_more_packages(tmp_path: Path) -> None:
    path = _twelve_bits(tmp_path / "a.dcm")
    found = pydicom.dcmread(path)
    found.compress(RLELossless)
    found.save_as(tmp_path / "b.dcm")
    np.testing.assert_array_equal(open_dicom(tmp_path / "b.dcm"), open_dicom(path))


def test_compression_that_needs_more_packages_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _twelve_bits(tmp_path / "a.dcm")
    found = pydicom.dcmread(path)
    found.compress(RLELossless)
    found.file_meta.TransferSyntaxUID = JPEGLSLossless
    found.save_as(tmp_path / "b.dcm")
    decoder = pydicom.pixels.get_decoder(JPEGLSLossless)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(UsageError, match=r"b\.dcm is compressed as JPEG-LS .*pip install"):
        open_dicom(tmp_path / "b.dcm")


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"NumberOfFrames": 3, "PixelData": STORED.tobytes() * 3}, "holds 3 pictures"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "stores its image as PALETTE COLOR"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "window width 0.*--window"),
        (
            {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CURVE"},
            "window function CURVE",
        ),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "slope of 0"),
        ({"PixelData": STORED.tobytes()[:4]}, "damaged or incomplete"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, elements: dict[str, object], message: str
) -> None:
    path = _twelve_bits(tmp_path / "a.dcm", **elements)
    with pytest.raises(DataError, match=rf"a\.dcm .*{message}"):
        open_dicom(path)


def test_missing_foreign_and_imageless_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.dcm does not exist"):
        dicom_header(tmp_path / "none.dcm")
    (tmp_path / "text.dcm").write_text("no image" * 100)
    with pytest.raises(DataError, match=r"text\.dcm is not a DICOM file"):
        open_dicom(tmp_path / "text.dcm")
    path = _twelve_bits(tmp_path / "a.dcm")
    found = pydicom.dcmread(path)
    del found.PixelData, found.Rows
    found.save_as(path)
    with pytest.raises(DataError, match=r"a\.dcm is a DICOM file without an image"):
        dicom_header(path)


def test_images_are_opened_by_their_suffix(tmp_path: Path) -> None:
    path = _twelve_bits(tmp_path / "a.dcm")
    np.testing.assert_allclose(open_image(path), STORED[None] / 4095, atol=1e-6)
    assert open_image(path, channels=3).shape == (3, 2, 2)
    np.testing.assert_allclose(
        open_image(path, window=(0.0, 2000.0)), [[[0.0, 0.5], [1.0, 1.0]]], atol=1e-6
    )
    assert read_header(path) == dicom_header(path)
    with pytest.raises(UsageError, match=r"a\.dcm is a DICOM image: --window .*not --white"):
        open_image(path, white=255)
    with pytest.raises(UsageError, match=r"--window 5 5 does not do"):
        open_image(path, window=(5.0, 5.0))
    with pytest.raises(DataError, match=r"a\.dcm is a DICOM image; a mask"):
        open_mask(path)


def test_without_pydicom_the_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _twelve_bits(tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UsageError, match=r"pip install 'discriminator-nas\[medical\]'"):
        read_header(path)
