"""Decoding of image and mask files into arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nas.errors import DataError, UsageError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg", ".dcm")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

_GREY_BITS = {"1": 1, "L": 8, "LA": 8, "La": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are decoded."""

    height: int
    width: int
    channels: int
    bits: int

    def __str__(self) -> str:
        depth = "float" if self.bits == 0 else f"{self.bits}-bit"
        return f"{depth} {'grey' if self.channels == 1 else 'RGB'}"


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """A file as a Pillow picture; whatever goes wrong while it is open becomes a DataError."""
    try:
        with Image.open(path) as picture:
            yield picture
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except UnidentifiedImageError:
        raise DataError(
            f"{path} is not an image that can be read ({', '.join(IMAGE_SUFFIXES)} are)."
        ) from None
    except _BROKEN as error:
        raise DataError(
            f"{path} is damaged or incomplete ({error}): copy or export it again."
        ) from error


def _palette_is_grey(picture: Image.Image) -> bool:
    palette = np.asarray(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _header(picture: Image.Image) -> Header:
    width, height = picture.size
    mode = picture.mode
    if mode in _GREY_BITS:
        # Older versions of Pillow open a 16-bit PNG as 32-bit integers.
        bits = 16 if mode == "I" and picture.format == "PNG" else _GREY_BITS[mode]
        return Header(height, width, 1, bits)
    if mode == "F":
        return Header(height, width, 1, 0)
    if mode in ("P", "PA"):
        return Header(height, width, 1 if _palette_is_grey(picture) else 3, 8)
    sixteen = any("16" in str(tile[3]) for tile in getattr(picture, "tile", ()))
    return Header(height, width, 3, 16 if sixteen else 8)


def read_header(path: Path) -> Header:
    """Size, channels and depth of an image file, without decoding its pixels.

    Raises:
        DataError: the file is missing, or is no image.
        UsageError: the optional library that reads the file is not installed.
    """
    from nas.data.dicom import dicom_header, is_dicom
    from nas.data.tiff import is_beyond_pillow, tiff_header

    if is_dicom(path):
        return dicom_header(path)
    if is_beyond_pillow(path):
        return tiff_header(path)
    with open_picture(path) as picture:
        return _header(picture)


def _require_single_frame(picture: Image.Image, path: Path) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{path} holds {frames} pictures; split it into files of one picture each.")


def _decode(picture: Image.Image, header: Header) -> np.ndarray:
    """(H, W) or (H, W, 3) float32 in stored values, 1-bit as 0 and 1."""
    if header.channels == 3:
        # Pillow keeps the high byte of 16-bit colour; 257 spreads 0..255 over 0..65535.
        scale = 257.0 if header.bits == 16 else 1.0
        return np.asarray(picture.convert("RGB"), dtype=np.float32) * scale
    if picture.mode in ("P", "PA", "LA", "La"):
        picture = picture.convert("L")
    return np.asarray(picture).astype(np.float32)


def open_image(
    path: Path,
    channels: int | None = None,
    white: float | None = None,
    window: tuple[float, float] | None = None,
) -> np.ndarray:
    """Decode an image file: PNG, TIFF, BMP, GIF, JPEG, DICOM (.dcm), or a JSRT .IMG file.

    Args:
        path: the file; 8 or 16 bits, grey or RGB; an alpha channel is dropped.
        channels: 1 for grey (ITU-R BT.601 luma of RGB), 3 for RGB (grey repeated), None as
            stored. 16-bit RGB is read to a precision of 8 bits.
        white: stored value that becomes 1.0, by default the largest of the file's depth;
            larger values are clipped. Not for DICOM.
        window: values that become 0 and 1 of a DICOM image, see :mod:`nas.data.dicom`; by
            default its own window. Not for other files.

    Returns:
        (C, H, W) float32 in [0, 1].

    Raises:
        DataError: the file is missing, damaged, holds several pictures, or is stored as
            floating point or 32-bit integers and ``white`` is not given.
        UsageError: ``white`` or ``window`` is given and means nothing for the file, or the optional
            library that reads it is not installed.
    """
    pixels = _pixels(path, white, window)
    if channels == 1 and pixels.shape[0] == 3:
        pixels = np.tensordot(LUMA, pixels, axes=1)[None]
    if channels == 3 and pixels.shape[0] == 1:
        pixels = np.repeat(pixels, 3, axis=0)
    return np.ascontiguousarray(pixels)


def _pixels(path: Path, white: float | None, window: tuple[float, float] | None) -> np.ndarray:
    """(C, H, W) float32 in [0, 1], with the channels of the file."""
    from nas.data.dicom import is_dicom, open_dicom
    from nas.data.tiff import is_beyond_pillow, open_tiff, tiff_header_of

    if is_dicom(path):
        if white is not None:
            raise UsageError(
                f"{path} is a DICOM image: --window LOW HIGH says which values are dark and which "
                "are bright, not --white."
            )
        return open_dicom(path, window)
    if window is not None:
        raise UsageError(
            f"--window is for NIfTI and DICOM, and {path} is neither: leave it out, or say with "
            "--white which stored value is white."
        )
    if path.suffix.lower() == ".img":
        from nas.data.layouts.jsrt import open_radiograph

        return open_radiograph(path)
    if is_beyond_pillow(path):
        stored = open_tiff(path)
        return _scaled(path, tiff_header_of(stored), stored.astype(np.float32), white)
    with open_picture(path) as picture:
        header = _header(picture)
        _require_single_frame(picture, path)
        return _scaled(path, header, _decode(picture, header), white)


def _scaled(path: Path, header: Header, pixels: np.ndarray, white: float | None) -> np.ndarray:
    if white is None and header.bits in (0, 32):
        raise DataError(
            f"{path} stores {header}, whose white is not known: say with --white which stored "
            "value is white."
        )
    largest = white if white is not None else float(2**header.bits - 1)
    pixels = np.clip(np.nan_to_num(pixels / np.float32(largest)), 0.0, 1.0).astype(np.float32)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def open_mask(path: Path) -> np.ndarray:
    """Decode a mask file into stored values; a palette is never looked up, its indices count.

    Returns:
        (H, W) integers.

    Raises:
        DataError: the file is missing, damaged, holds several pictures, floating-point values,
            or colours (an RGB file whose channels are equal is read as grey), or is DICOM.
        UsageError: the optional library that reads the file is not installed.
    """
    from nas.data.dicom import is_dicom
    from nas.data.tiff import is_beyond_pillow, open_tiff

    if is_dicom(path):
        raise DataError(f"{path} is a DICOM image; a mask is an 8-bit or 16-bit PNG or TIFF.")
    if is_beyond_pillow(path):
        return _grey_integers(path, open_tiff(path))
    with open_picture(path) as picture:
        _require_single_frame(picture, path)
        mode = picture.mode
        if mode == "PA":
            picture = picture.getchannel(0)
        pixels = np.asarray(picture)
    if mode in ("1", "L", "P", "PA") or mode.startswith("I"):
        return pixels.astype(np.int64)
    if mode in ("LA", "La"):
        return pixels[..., 0].astype(np.int64)
    if mode in ("F", "RGB", "RGBA"):
        return _grey_integers(path, pixels)
    raise _colour_mask(path)


def _colour_mask(path: Path) -> DataError:
    return DataError(
        f"{path} is a colour picture; a mask holds one number per pixel: save it as an 8-bit grey "
        "or palette PNG whose values are class numbers."
    )


def _grey_integers(path: Path, pixels: np.ndarray) -> np.ndarray:
    """(H, W) integers of integers without colours."""
    if pixels.dtype.kind == "f":
        raise DataError(f"{path} stores floating-point values; a mask holds integers.")
    if pixels.ndim == 2:
        return pixels.astype(np.int64)
    if pixels.shape[-1] >= 3 and (pixels[..., :3] == pixels[..., :1]).all():
        return pixels[..., 0].astype(np.int64)
    raise _colour_mask(path)
