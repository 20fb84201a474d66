"""Decoding of image and mask files into arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nas.errors import DataError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg")
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
    """
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


def open_image(path: Path, channels: int | None = None, white: float | None = None) -> np.ndarray:
    """Decode an image file: PNG, TIFF, BMP, GIF, JPEG, or a JSRT .IMG file.

    Args:
        path: the file; 8 or 16 bits, grey or RGB; an alpha channel is dropped.
        channels: 1 for grey (ITU-R BT.601 luma of RGB), 3 for RGB (grey repeated), None as
            stored. 16-bit RGB is read to a precision of 8 bits.
        white: stored value that becomes 1.0, by default the largest of the file's depth;
            larger values are clipped.

    Returns:
        (C, H, W) float32 in [0, 1].

    Raises:
        DataError: the file is missing, damaged, holds several pictures, or is stored as
            floating point or 32-bit integers and ``white`` is not given.
    """
    if path.suffix.lower() == ".img":
        from nas.data.layouts.jsrt import open_radiograph

        pixels = open_radiograph(path)
    else:
        pixels = _scaled(path, white)
    if channels == 1 and pixels.shape[0] == 3:
        pixels = np.tensordot(LUMA, pixels, axes=1)[None]
    if channels == 3 and pixels.shape[0] == 1:
        pixels = np.repeat(pixels, 3, axis=0)
    return np.ascontiguousarray(pixels)


def _scaled(path: Path, white: float | None) -> np.ndarray:
    with open_picture(path) as picture:
        header = _header(picture)
        _require_single_frame(picture, path)
        if white is None and header.bits in (0, 32):
            raise DataError(
                f"{path} stores {header}, whose white is not known: say with --white which "
                "stored value is white."
            )
        pixels = _decode(picture, header)
    largest = white if white is not None else float(2**header.bits - 1)
    pixels = np.clip(np.nan_to_num(pixels / np.float32(largest)), 0.0, 1.0).astype(np.float32)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def open_mask(path: Path) -> np.ndarray:
    """Decode a mask file into stored values; a palette is never looked up, its indices count.

    Returns:
        (H, W) integers.

    Raises:
        DataError: the file is missing, damaged, holds several pictures, floating-point values,
            or colours (an RGB file whose channels are equal is read as grey).
    """
    with open_picture(path) as picture:
        _require_single_frame(picture, path)
        mode = picture.mode
        if mode == "PA":
            picture = picture.getchannel(0)
        pixels = np.asarray(picture)
    if mode == "F":
        raise DataError(f"{path} stores floating-point values; a mask holds integers.")
    if mode in ("1", "L", "P", "PA") or mode.startswith("I"):
        return pixels.astype(np.int64)
    if mode in ("LA", "La"):
        return pixels[..., 0].astype(np.int64)
    if mode in ("RGB", "RGBA") and (pixels[..., :3] == pixels[..., :1]).all():
        return pixels[..., 0].astype(np.int64)
    raise DataError(
        f"{path} is a colour picture ({mode}); a mask holds one number per pixel: save it as an "
        "8-bit grey or palette PNG whose values are class numbers."
    )
