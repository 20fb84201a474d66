"""Vessels of the retina on a colour photograph of the eye's background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from nas.data.scenes.scene import Scene, clipped, clouds

CLASSES = ("background", "vessel")
FIELD = 540 / 565
"""Diameter of the field of view as a share of the width, as in DRIVE."""


@dataclass(frozen=True)
class _Twig:
    row: float
    column: float
    angle: float
    width: float


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """A bright optic disc, dark vessels that branch from it, black outside of a circle.

    Args:
        rng: is drawn from.
        size: height and width.

    Returns:
        RGB; labels 0 background, 1 vessel (inside of the field of view only); no instances; the
        circle as the field of view.
    """
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    radius = min(FIELD * size[1], FIELD * size[0]) / 2
    distance = np.hypot(rows - middle[0], columns - middle[1])
    inside = distance <= radius
    side = 1 if rng.random() < 0.5 else -1
    disc = (middle[0] + rng.normal(0, 0.05) * radius, middle[1] + side * 0.55 * radius)
    vessels = _vessels(rng, size, disc, side, radius)
    labels = ((vessels >= 0.5) & inside).astype(np.uint8)
    from_disc = np.hypot(rows - disc[0], columns - disc[1]) / (0.17 * radius)
    image = _photograph(rng, size, vessels, from_disc, distance / radius, radius)
    image[~inside] = 0.0
    return Scene(image=image, labels=labels, field_of_view=inside)


def _photograph(
    rng: np.random.Generator,
    size: tuple[int, int],
    vessels: np.ndarray,
    from_disc: np.ndarray,
    from_middle: np.ndarray,
    radius: float,
) -> np.ndarray:
    light = 1.0 - 0.35 * from_middle**2 + 0.06 * clouds(rng, size, radius / 8)
    glow = np.clip(1.6 - 1.2 * from_disc, 0.0, 1.0)
    dark = vessels * (0.38 + 0.05 * clouds(rng, size, radius / 10))
    channels = []
    for base, bright, ink in ((0.72, 0.24, 0.45), (0.40, 0.42, 1.0), (0.20, 0.30, 0.55)):
        channel = (base * light + bright * glow) * (1.0 - ink * dark)
        channels.append(channel + 0.012 * clouds(rng, size, 0.6))
    return clipped(np.stack(channels, axis=-1))


def _vessels(
    rng: np.random.Generator,
    size: tuple[int, int],
    disc: tuple[float, float],
    side: int,
    radius: float,
) -> np.ndarray:
    """Share of each pixel that vessels cover, (H, W) float32 in [0, 1]."""
    fine = 3
    canvas = Image.new("L", (size[1] * fine, size[0] * fine))
    pen = ImageDraw.Draw(canvas)
    temporal = np.pi if side > 0 else 0.0
    for turn in (-1.15, 1.15, -2.0, 2.0, -0.55, 0.55):
        angle = temporal + turn * rng.uniform(0.85, 1.15)
        width = radius * 0.03 * rng.uniform(0.7, 1.1)
        twigs = [_Twig(disc[0], disc[1], float(angle), float(width))]
        bend = -np.sign(turn) * 0.012
        while twigs:
            end = _grow(rng, pen, twigs.pop(), float(bend), radius, fine)
            if end.width > radius * 0.006:
                twigs += _fork(rng, end)
            bend = 0.0
    covered = np.asarray(canvas, dtype=np.float32).reshape(size[0], fine, size[1], fine)
    return covered.mean(axis=(1, 3)) / np.float32(255.0)


def _grow(
    rng: np.random.Generator,
    pen: ImageDraw.ImageDraw,
    twig: _Twig,
    bend: float,
    radius: float,
    fine: int,
) -> _Twig:
    """Draw a twig up to its fork, and return its end."""
    row, column, angle = twig.row, twig.column, twig.angle
    step = radius * 0.025
    for _ in range(int(rng.integers(9, 16))):
        angle += bend + rng.normal(0, 0.09)
        after = (row + step * np.sin(angle), column + step * np.cos(angle))
        _line(pen, (row, column), after, twig.width, fine)
        row, column = after
    return _Twig(row, column, angle, twig.width)


def _line(
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    stop: tuple[float, float],
    width: float,
    fine: int,
) -> None:
    ends = [((column + 0.5) * fine, (row + 0.5) * fine) for row, column in (start, stop)]
    half = max(width * fine / 2, 0.6 * fine)
    pen.line(ends, fill=255, width=max(round(2 * half), 1))
    x, y = ends[1]
    pen.ellipse((x - half, y - half, x + half, y + half), fill=255)


def _fork(rng: np.random.Generator, end: _Twig) -> list[_Twig]:
    spread = rng.uniform(0.25, 0.6)
    share = rng.uniform(0.6, 0.85)
    return [
        _Twig(end.row, end.column, end.angle + spread * (1 - share), end.width * share),
        _Twig(end.row, end.column, end.angle - spread * share, end.width * (1.35 - share)),
    ]
