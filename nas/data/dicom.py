"""One DICOM image as values in [0, 1].

Stored values go through the modality transformation (rescale slope and intercept, or a table;
PS3.3 C.11.1) and then through a window: the one that is asked for, else that of the file (C.11.2,
the first where there are several, of its function LINEAR, LINEAR_EXACT or SIGMOID), else the range
of the bits that are stored. MONOCHROME1, whose low values are bright, is turned round at the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nas.data.images import Header
from nas.data.medical import library
from nas.data.volumes import check_window
from nas.errors import DataError, UsageError

DICOM_SUFFIX = ".dcm"
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


def is_dicom(path: Path) -> bool:
    """Whether the name ends in .dcm."""
    return path.suffix.lower() == DICOM_SUFFIX


def _read(path: Path, *, pixels: bool) -> Any:
    pydicom = library("pydicom", path)
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    try:
        found = pydicom.dcmread(path, stop_before_pixels=not pixels)
    except pydicom.errors.InvalidDicomError:
        raise DataError(f"{path} is not a DICOM file: copy or export it again.") from None
    except Exception as error:
        raise DataError(f"{path} is damaged ({error}): copy or export it again.") from error
    _require_one_image(path, found)
    return found


def _require_one_image(path: Path, found: Any) -> None:
    kind = str(found.get("PhotometricInterpretation", ""))
    if "Rows" not in found or "Columns" not in found or not kind:
        raise DataError(f"{path} is a DICOM file without an image.")
    frames = int(found.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise DataError(f"{path} holds {frames} pictures; split it into files of one picture each.")
    if kind not in (*GREY, *COLOURS):
        raise DataError(
            f"{path} stores its image as {kind}; {', '.join((*GREY, *COLOURS))} are read."
        )


def dicom_header(path: Path) -> Header:
    """Size, channels and depth of a DICOM image, without decoding its pixels.

    Raises:
        UsageError: pydicom is not installed.
        DataError: the file is missing, or holds no image that can be read.
    """
    found = _read(path, pixels=False)
    channels = int(found.get("SamplesPerPixel", 1))
    return Header(int(found.Rows), int(found.Columns), channels, int(found.BitsStored))


def open_dicom(path: Path, window: tuple[float, float] | None = None) -> np.ndarray:
    """Decode a DICOM image.

    Args:
        path: the file.
        window: values, behind the modality transformation, that become 0 and 1; by default the
            window of the file. In MONOCHROME1 images they become 1 and 0. Not for colours.

    Returns:
        (1, H, W) float32 in [0, 1], or (3, H, W) of colours.

    Raises:
        UsageError: pydicom, or what it needs to decompress the image, is not installed; or a
            window is asked for and the image has colours.
        DataError: the file is missing, damaged, holds several images, or its window has no width.
    """
    found = _read(path, pixels=True)
    stored = _pixels(path, found)
    if found.PhotometricInterpretation in COLOURS:
        if window is not None:
            raise UsageError(f"{path} has colours, and --window is for grey images: leave it out.")
        largest = np.float32(2 ** int(found.BitsStored) - 1)
        return np.ascontiguousarray(np.moveaxis(stored.astype(np.float32) / largest, -1, 0))
    pixels = _windowed(path, found, stored, window)
    if found.PhotometricInterpretation == "MONOCHROME1":
        pixels = 1.0 - pixels
    return np.ascontiguousarray(pixels[None], dtype=np.float32)


def _pixels(path: Path, found: Any) -> np.ndarray:
    """Stored values, (H, W) or (H, W, 3) as RGB."""
    syntax = found.file_meta.get("TransferSyntaxUID")
    if syntax is not None and syntax.is_compressed and not _can_decode(path, syntax):
        raise UsageError(
            f"{path} is compressed as {syntax.name}, which needs more packages: pip install "
            "'pylibjpeg[all]'; or save it without compression."
        )
    try:
        pixels: np.ndarray = found.pixel_array
    except Exception as error:
        raise DataError(
            f"{path} is damaged or incomplete ({error}): copy or export it again."
        ) from error
    return pixels


def _can_decode(path: Path, syntax: Any) -> bool:
    if syntax.is_deflated:
        return True
    try:
        return bool(library("pydicom.pixels", path).get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _windowed(
    path: Path, found: Any, stored: np.ndarray, window: tuple[float, float] | None
) -> np.ndarray:
    """(H, W) floats in [0, 1]."""
    values = library("pydicom.pixels", path).apply_modality_lut(stored, found).astype(np.float64)
    if window is not None:
        return _between(values, *check_window(window))
    if found.get("WindowCenter") is not None and found.get("WindowWidth") is not None:
        return _own_window(path, found, values)
    if found.get("VOILUTSequence"):
        table = found.VOILUTSequence[0]
        looked_up = library("pydicom.pixels", path).apply_voi_lut(_whole(values), found)
        return _between(looked_up.astype(np.float64), 0.0, 2.0 ** int(table.LUTDescriptor[2]) - 1)
    return _between(values, *_range(path, found))


def _whole(values: np.ndarray) -> np.ndarray:
    """Values as integers, which a table of values is looked up by."""
    return np.round(values).astype(np.int64)


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _first(value: Any) -> float:
    """A number that may stand several times."""
    several = hasattr(value, "__iter__") and not isinstance(value, str)
    return float(value[0] if several else value)


def _own_window(path: Path, found: Any, values: np.ndarray) -> np.ndarray:
    """The first window of the file (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    center, width = _first(found.WindowCenter), _first(found.WindowWidth)
    function = str(found.get("VOILUTFunction", "LINEAR"))
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise DataError(f"{path} has the window width {width:g}: say with --window LOW HIGH.")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(-4.0 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return _between(values, center - width / 2, center + width / 2)
    if function != "LINEAR":
        raise DataError(f"{path} has the window function {function}: say with --window LOW HIGH.")
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    low = center - 0.5 - (width - 1) / 2
    return _between(values, low, low + width - 1)


def _range(path: Path, found: Any) -> tuple[float, float]:
    """What the least and the largest of the stored bits become in the modality transformation."""
    if found.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(found.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(found.BitsStored)
    signed = int(found.get("PixelRepresentation", 0)) == 1
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    apply = library("pydicom.pixels", path).apply_modality_lut
    low, high = sorted(apply(np.asarray(ends, dtype=np.int64), found).tolist())
    if not low < high:
        raise DataError(f"{path} has a rescale slope of 0: say with --window LOW HIGH.")
    return float(low), float(high)
