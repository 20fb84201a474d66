"""Pictures inside a page of HTML: small images, and masks as transparent layers over them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.cases import UNKNOWN
from nas.pictures import UNKNOWN_COLOUR, class_colours, contours, fit, grey_or_colour, resize

FILL = 102
"""Opacity inside of an object, of 255; its contour is opaque."""
JPEG_QUALITY = 88


def small_picture(image: NDArray[np.floating], side: int) -> Image.Image:
    """An image (C, H, W) in [0, 1] as a picture whose longer side is ``side`` pixels.

    Of two channels the first is shown; a picture without colours has one channel.

    Raises:
        ValueError: the image has not three dimensions, or no channel.
    """
    picture = grey_or_colour(image)
    picture = resize(
        picture, fit(picture.shape[0], picture.shape[1], side), Image.Resampling.BICUBIC
    )
    grey = (picture == picture[..., :1]).all()
    return Image.fromarray(picture[..., 0] if grey else picture)


def mask_layer(
    mask: NDArray[np.integer],
    side: int,
    objects: NDArray[np.integer] | None = None,
    colours: Sequence[Sequence[int]] | None = None,
) -> bytes:
    """The classes as a PNG with a palette: transparent, filled, or opaque on a contour.

    Args:
        mask: (H, W) classes; the background 0 is transparent, `UNKNOWN` grey.
        side: longer side of the layer, in pixels.
        objects: (H, W) numbers of objects, whose contours are drawn too; 0 is none.
        colours: (K, 3) in 0..255; by default those of `nas.pictures.class_colours`.
    """
    shown = _nearest(mask.astype(np.int32), side)
    parts = shown
    if objects is not None:
        numbers = _nearest(objects, side)
        parts = np.where(numbers > 0, numbers + UNKNOWN, shown)
    border = contours(parts) & (shown != 0) & (shown != UNKNOWN)
    codes, places = np.unique(2 * shown + border, return_inverse=True)
    if colours is None:
        colours = class_colours(int(shown[shown != UNKNOWN].max(initial=0)) + 1).tolist()
    palette: list[int] = []
    opacity = bytearray()
    for label, on_border in (divmod(code, 2) for code in codes.tolist()):
        palette += UNKNOWN_COLOUR if label == UNKNOWN else colours[label]
        opacity.append(0 if label == 0 else 255 if on_border else FILL)
    layer = Image.fromarray(places.reshape(shown.shape).astype(np.uint8)).convert("P")
    layer.putpalette(palette)
    return png(layer, transparency=bytes(opacity))


def _nearest(labels: NDArray[np.integer], side: int) -> NDArray[np.integer]:
    """(H, W) labels at the size of a picture; a pixel has the label of its centre."""
    height, width = fit(labels.shape[0], labels.shape[1], side)
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(np.int64)
    return labels[np.ix_(rows, columns)]


def png(picture: Image.Image, **options: bytes) -> bytes:
    """The picture as a PNG file."""
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True, **options)
    return stream.getvalue()


def jpeg(picture: Image.Image) -> bytes:
    """The picture as a JPEG file."""
    stream = BytesIO()
    picture.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def photograph_uri(picture: Image.Image) -> str:
    """A picture as a data: URI, as PNG or as JPEG, whichever is smaller."""
    exact, lossy = png(picture), jpeg(picture)
    if len(exact) <= len(lossy):
        return data_uri(exact)
    return data_uri(lossy, "image/jpeg")


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    """A file as the address of itself."""
    return f"data:{media_type};base64,{b64encode(content).decode('ascii')}"
