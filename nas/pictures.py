"""Pictures of segmentations: image, truth and prediction side by side.

All pictures are arrays (H, W, 3) of uint8, ready for a PNG and, with channels last, for
TensorBoard. Classes are told apart by colour and by a contour, so also in grey.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nas.data.cases import UNKNOWN

Picture = NDArray[np.uint8]

OKABE_ITO = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
    (204, 121, 167),
)
"""Colours that people with any colour vision can tell apart (Okabe and Ito 2008)."""

UNKNOWN_COLOUR = (128, 128, 128)
"""Where the class is unknown, or nothing counts."""

FILL = 0.4
SIDE = 256
TEXT_SIZE = 14
LINE = 22
GAP = 6
INK = (30, 30, 30)
PAPER = (255, 255, 255)


def class_colours(classes: int) -> Picture:
    """(classes, 3) uint8: black for the background, then the Okabe-Ito colours, then others."""
    colours = [(0, 0, 0), *OKABE_ITO[: classes - 1]]
    for extra in range(classes - len(colours)):
        hue = (extra * 0.618034) % 1.0
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.55, 0.75)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return np.array(colours, dtype=np.uint8)


def grey_or_colour(image: NDArray[np.floating]) -> Picture:
    """An image (C, H, W) in [0, 1] as a picture: three channels as RGB, else the first as grey.

    Images of other numbers of channels are several pictures of one thing, such as the sequences of
    a tomography, and would show colours that mean nothing.

    Raises:
        ValueError: the image has not three dimensions, or no channel.
    """
    if image.ndim != 3 or not len(image):
        raise ValueError(f"an image (C, H, W) was expected, not {image.shape}")
    channels = image if image.shape[0] == 3 else np.repeat(image[:1], 3, axis=0)
    scaled = np.clip(np.nan_to_num(channels), 0, 1) * 255
    return np.ascontiguousarray(scaled.round().astype(np.uint8).transpose(1, 2, 0))


def contours(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(H, W) classes to the pixels of an object that touch another class, right, left, up or down.

    Pixels of the background are never part of a contour, nor is the border of the image.
    """
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    touching = np.logical_or.reduce([neighbour != labels for neighbour in neighbours])
    return touching & (labels != 0)


def overlay(
    picture: Picture, labels: NDArray[np.integer], colours: Picture, fill: float = FILL
) -> Picture:
    """The classes drawn over a picture: transparent inside, opaque on their contours.

    Args:
        picture: (H, W, 3).
        labels: (H, W) classes; 0, the background, is left as it is, `UNKNOWN` is drawn in grey.
        colours: (K, 3), one per class.
        fill: opacity inside, 0 (contours only) to 1.

    Raises:
        ValueError: sizes differ.
    """
    if picture.shape[:2] != labels.shape:
        raise ValueError(f"picture {picture.shape[:2]} and labels {labels.shape} differ in size")
    opacity = np.where(contours(labels), 1.0, np.where(labels == 0, 0.0, fill))[..., None]
    known = labels != UNKNOWN
    chosen = np.where(known[..., None], colours[np.where(known, labels, 0)], UNKNOWN_COLOUR)
    mixed = (1 - opacity) * picture + opacity * chosen
    return mixed.round().astype(np.uint8)


def panels(
    image: NDArray[np.floating],
    masks: Mapping[str, NDArray[np.integer]],
    classes: int,
    caption: str = "",
    side: int = SIDE,
) -> Picture:
    """The image, and beside it the image under each mask; above them the caption and the titles.

    Args:
        image: (C, H, W) in [0, 1].
        masks: title and (H, W) classes of each, in 0..classes-1 or `UNKNOWN`, such as truth and
            prediction.
        classes: number of classes, background included.
        caption: over the image, such as the case and its IoU; cut where it would not fit.
        side: longer side of each panel, in pixels.

    Raises:
        ValueError: a mask has another size than the image.
    """
    picture = grey_or_colour(image)
    for title, mask in masks.items():
        if mask.shape != picture.shape[:2]:
            raise ValueError(f"{title} {mask.shape} and image {picture.shape[:2]} differ in size")
    size = fit(picture.shape[0], picture.shape[1], side)
    picture = resize(picture, size, Image.Resampling.BICUBIC)
    colours = class_colours(classes)
    columns = [stack([text_line(caption, size[1]), picture])]
    for title, mask in masks.items():
        shown = resize(mask.astype(np.uint8), size, Image.Resampling.NEAREST)
        columns.append(stack([text_line(title, size[1]), overlay(picture, shown, colours)]))
    return beside(columns)


def sheet(rows: Sequence[Picture], class_names: Sequence[str]) -> Picture:
    """Rows of panels under each other, and below them which colour is which class.

    Args:
        rows: pictures, such as ``panels`` returns.
        class_names: background first.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("a sheet needs at least one row")
    width = max(row.shape[1] for row in rows)
    content = stack([*rows, legend(class_names, width)], gap=GAP)
    return np.pad(content, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255)


def best_median_worst(values: Sequence[float | None], each: int = 1) -> list[tuple[str, int]]:
    """Which cases to show: the best, those around the median and the worst by a score.

    Args:
        values: one score per case, larger is better; None and NaN are left out.
        each: how many of each kind.

    Returns:
        ("best" | "median" | "worst", index) pairs from the best to the worst, no index twice;
        fewer than 3 * each where there are fewer cases, the extremes first.
    """
    scored = ((value, index) for index, value in enumerate(values) if value is not None)
    defined = sorted((-value, index) for value, index in scored if not math.isnan(value))
    order = [index for _, index in defined]
    best, rest = order[:each], order[each:]
    worst, middle = rest[-each:], rest[:-each]
    start = max(0, (len(middle) - each + 1) // 2)
    chosen = {"best": best, "median": middle[start : start + each], "worst": worst}
    return [(kind, index) for kind, indices in chosen.items() for index in indices]


def write_png(picture: Picture, path: str | Path) -> None:
    """Write a picture as PNG; the folder must exist.

    Raises:
        OSError: the file cannot be written.
    """
    Image.fromarray(picture).save(path, format="PNG")


def fit(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width in the same proportion, the longer of them ``side``."""
    longer = max(height, width)
    return max(1, round(height * side / longer)), max(1, round(width * side / longer))


def resize(array: Picture, size: tuple[int, int], resampling: Image.Resampling) -> Picture:
    """A picture (H, W, 3) or a mask (H, W) at another (height, width)."""
    height, width = size
    return np.asarray(Image.fromarray(array).resize((width, height), resampling))


def beside(pictures: Sequence[Picture], gap: int = GAP) -> Picture:
    """Pictures from left to right on paper, aligned at the top."""
    return stack([picture.transpose(1, 0, 2) for picture in pictures], gap).transpose(1, 0, 2)


def stack(pictures: Sequence[Picture], gap: int = 0) -> Picture:
    """Pictures from top to bottom on paper, aligned at the left."""
    width = max(picture.shape[1] for picture in pictures)
    height = sum(picture.shape[0] for picture in pictures) + gap * (len(pictures) - 1)
    page = np.full((height, width, 3), PAPER, dtype=np.uint8)
    top = 0
    for picture in pictures:
        page[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0] + gap
    return page


def text_line(text: str, width: int) -> Picture:
    """Text on a strip of paper, with an ellipsis where it is too long."""
    font = ImageFont.load_default(TEXT_SIZE)
    shown = text
    while shown and font.getlength(shown) > width - 2:
        shown = shown.removesuffix("...")[:-1] + "..." if shown != "..." else ""
    strip = Image.new("RGB", (width, LINE), PAPER)
    ImageDraw.Draw(strip).text((1, LINE / 2), shown, fill=INK, font=font, anchor="lm")
    return np.asarray(strip)


def legend(class_names: Sequence[str], width: int) -> Picture:
    """A square in the colour of each class but the background, and its name; wrapped."""
    font = ImageFont.load_default(TEXT_SIZE)
    colours = class_colours(len(class_names))
    lines: list[list[Picture]] = [[]]
    used = 0
    for name, colour in list(zip(class_names, colours, strict=True))[1:]:
        length = min(width, LINE + GAP + int(font.getlength(name)) + 2 * GAP)
        if lines[-1] and used + length > width:
            lines.append([])
            used = 0
        square = np.full((LINE, LINE, 3), PAPER, dtype=np.uint8)
        square[4:-4, 4:-4] = colour
        lines[-1].append(beside([square, text_line(name, max(1, length - LINE - GAP))], gap=0))
        used += length
    strips = [beside(entries) for entries in lines if entries]
    return stack(strips) if strips else text_line("", width)
