"""TIFF files that Pillow does not decode, through tifffile.

These are floating-point numbers of 16 and 64 bits, alpha beside 16-bit grey, and colours of 16 bits
that are stored one plane after the other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nas.data.images import Header
from nas.data.medical import library
from nas.errors import DataError

TIFF_SUFFIXES = (".tif", ".tiff")
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _SAMPLES, _PLANES = 258, 277, 284
"""Tags: bits of a sample, samples of a pixel, whether each sample has a plane of its own (2)."""


def is_beyond_pillow(path: Path) -> bool:
    """Whether a file is a TIFF that Pillow cannot decode, or decodes into other values."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return False
    try:
        with Image.open(path) as picture:
            tags = getattr(picture, "tag_v2", {})
            wide = max(tags.get(_BITS, (8,))) > 8 and tags.get(_SAMPLES, 1) > 1
            return bool(wide and tags.get(_PLANES) == 2)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            return file.read(4) in _MAGIC
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def tiff_header(path: Path) -> Header:
    """Size, channels and depth of such a file.

    Raises:
        UsageError: tifffile is not installed.
        DataError: the file is damaged, or holds several pictures or other channels than grey or
            RGB, with alpha or without.
    """
    return tiff_header_of(open_tiff(path))


def tiff_header_of(pixels: np.ndarray) -> Header:
    """The header of a file that stores these pixels."""
    kind = pixels.dtype
    bits = {"u": 8 * kind.itemsize, "i": 32}.get(kind.kind, 0)
    return Header(pixels.shape[0], pixels.shape[1], 1 if pixels.ndim == 2 else 3, bits)


def open_tiff(path: Path) -> np.ndarray:
    """Stored values, (H, W) of grey or (H, W, 3) of colours; alpha is dropped.

    Raises:
        UsageError: tifffile is not installed.
        DataError: the file is damaged, or holds several pictures or other channels than grey or
            RGB, with alpha or without.
    """
    tifffile = library("tifffile", path)
    try:
        with tifffile.TiffFile(path) as file:
            frames = len(file.pages)
            page = file.pages[0]
            planes = page.planarconfig == 2 and page.samplesperpixel > 1
            pixels: np.ndarray = page.asarray()
    except Exception as error:
        raise DataError(
            f"{path} is damaged or incomplete ({error}): copy or export it again."
        ) from error
    if frames > 1:
        raise DataError(f"{path} holds {frames} pictures; split it into files of one picture each.")
    pixels = np.moveaxis(pixels, 0, -1) if planes else pixels
    channels = pixels.shape[-1] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels > 4:
        raise DataError(
            f"{path} has the shape {'x'.join(map(str, pixels.shape))}; expected grey or RGB, with "
            "alpha or without."
        )
    if pixels.ndim == 3:
        pixels = pixels[..., 0] if channels <= 2 else pixels[..., :3]
    return pixels
