"""Where the patient lies on the film, and a canvas for the thin things on it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Array = np.ndarray
Point = tuple[float, float]

CANVAS = 512
"""Shorter side in pixels of the canvas, whatever the size of the film."""


@dataclass(frozen=True)
class Frame:
    """film = zoom * rotation(angle) * patient + shift.

    Film coordinates run from -1 to 1 across the shorter side, x to the right and y down, the
    origin in the middle. ``angle`` is in radians.
    """

    height: int
    width: int
    zoom: float
    angle: float
    shift: Point

    def film(self) -> tuple[Array, Array]:
        """Film coordinates x and y of all pixel centres, each (H, W) float32."""
        half = min(self.height, self.width) / 2
        x = (np.arange(self.width) + 0.5 - self.width / 2) / half
        y = (np.arange(self.height) + 0.5 - self.height / 2) / half
        columns, rows = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        return columns, rows

    def patient(self) -> tuple[Array, Array]:
        """Patient coordinates x and y of all pixel centres, each (H, W) float32."""
        x, y = self.film()
        x, y = x - np.float32(self.shift[0]), y - np.float32(self.shift[1])
        cos = np.float32(math.cos(self.angle) / self.zoom)
        sin = np.float32(math.sin(self.angle) / self.zoom)
        return cos * x + sin * y, cos * y - sin * x

    def on_film(self, points: Iterable[Point]) -> list[Point]:
        """Film coordinates of points in patient coordinates."""
        cos = self.zoom * math.cos(self.angle)
        sin = self.zoom * math.sin(self.angle)
        dx, dy = self.shift
        return [(cos * x - sin * y + dx, sin * x + cos * y + dy) for x, y in points]


class Canvas:
    """Vessels, ribs, wires, letters: drawn finely, then scaled to the film.

    Positions and lengths are in patient coordinates unless said otherwise; ink is 0..1, and
    later ink covers earlier ink.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._scale = CANVAS / min(frame.height, frame.width)
        size = (round(frame.width * self._scale), round(frame.height * self._scale))
        self._picture = Image.new("L", size)
        self._pen = ImageDraw.Draw(self._picture)

    def _pixels(self, film: Iterable[Point]) -> list[Point]:
        width, height = self._picture.size
        return [(x * CANVAS / 2 + width / 2, y * CANVAS / 2 + height / 2) for x, y in film]

    def _length(self, length: float) -> float:
        return length * self._frame.zoom * CANVAS / 2

    def line(self, points: Iterable[Point], width: float, ink: float) -> None:
        """A line through the points."""
        pixels = self._pixels(self._frame.on_film(points))
        self._pen.line(pixels, round(255 * ink), max(1, round(self._length(width))))

    def disc(self, centre: Point, radius: float, ink: float) -> None:
        """A filled disc."""
        ((x, y),) = self._pixels(self._frame.on_film([centre]))
        r = self._length(radius)
        self._pen.ellipse((x - r, y - r, x + r, y + r), round(255 * ink))

    def polygon(self, points: Iterable[Point], ink: float) -> None:
        """A filled polygon."""
        self._pen.polygon(self._pixels(self._frame.on_film(points)), round(255 * ink))

    def letters(self, film: Point, text: str, height: float, ink: float) -> None:
        """Letters centred at film coordinates, ``height`` in film units."""
        ((x, y),) = self._pixels([film])
        font = ImageFont.load_default(size=round(height * CANVAS / 2))
        self._pen.text((x, y), text, fill=round(255 * ink), font=font, anchor="mm")

    def scaled(self) -> Array:
        """The ink at the size of the film, (H, W) float32."""
        size = (self._frame.width, self._frame.height)
        picture = self._picture.resize(size, Image.Resampling.BILINEAR)
        ink = np.asarray(picture, dtype=np.float32) / 255
        return gaussian_filter(ink, 0.9 / self._scale)


def cloud(rng: np.random.Generator, cells: int, shape: tuple[int, int], octaves: int = 1) -> Array:
    """Smooth random field, (H, W) float32, mean 0, spread near 1.

    ``cells`` is the number of bumps along a side; each further octave doubles it at 0.6 of
    the strength. What is drawn from ``rng`` does not depend on ``shape``.
    """
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        count = cells * 2**octave + 3
        coarse = Image.fromarray(rng.standard_normal((count, count)).astype(np.float32))
        fine = coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
        total += np.asarray(fine) * np.float32(0.6**octave)
    return total


def ramp(distance: Array, width: float | Array) -> Array:
    """0 to 1 as the distance goes from -width/2 to width/2, smoothly."""
    t = np.clip(distance / width + 0.5, 0.0, 1.0)
    return t * t * (3 - 2 * t)
