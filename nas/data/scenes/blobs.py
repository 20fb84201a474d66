"""Round objects with waved outlines, and how they are strewn over a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Blob:
    """An ellipse whose outline is waved.

    Attributes:
        row, column: of the centre, in pixels.
        long, short: half axes, in pixels.
        angle: of the long axis against the columns, in radians.
        waves: (size, phase) of the waves of order 2, 3, ... of the outline, sizes as shares of
            the radius.
    """

    row: float
    column: float
    long: float
    short: float
    angle: float
    waves: tuple[tuple[float, float], ...] = ()

    def moved(self, rows: float, columns: float) -> Blob:
        """The same outline elsewhere."""
        return replace(self, row=self.row + rows, column=self.column + columns)

    def scaled(self, factor: float) -> Blob:
        """The same outline, larger or smaller."""
        return replace(self, long=self.long * factor, short=self.short * factor)

    @property
    def reach(self) -> float:
        """No pixel of the blob is farther from its centre, in pixels."""
        return max(self.long, self.short) * (1.0 + sum(abs(size) for size, _ in self.waves))

    def relative_radius(self, size: tuple[int, int]) -> tuple[Box, np.ndarray]:
        """Distance from the centre as a share of the outline's, in the box around the blob.

        Args:
            size: height and width of the picture.

        Returns:
            The box of the picture that holds the blob, and the distances of its pixels: below 1
            inside of the blob. The box is empty where the blob lies outside of the picture.
        """
        reach = 1.6 * self.reach + 2.0
        box = (
            _span(self.row - reach, self.row + reach, size[0]),
            _span(self.column - reach, self.column + reach, size[1]),
        )
        rows = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - self.row
        columns = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None] - self.column
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along, across = cos * columns + sin * rows, cos * rows - sin * columns
        radius = np.hypot(along / self.long, across / self.short)
        direction = np.arctan2(across / self.short, along / self.long)
        outline = np.ones_like(radius)
        for order, (wave, phase) in enumerate(self.waves, start=2):
            outline = outline + wave * np.cos(order * direction + phase)
        return box, (radius / outline).astype(np.float32)


def _span(start: float, stop: float, length: int) -> slice:
    first = int(np.clip(np.floor(start), 0, length))
    return slice(first, int(np.clip(np.ceil(stop), first, length)))


def strew(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    radius: tuple[float, float],
    gap: float,
    waviness: float,
) -> list[Blob]:
    """Blobs that keep a distance from each other and from the border of the picture.

    Args:
        rng: is drawn from.
        size: height and width of the picture.
        count: blobs that are wanted; there are fewer where there is no room, and at least one.
        radius: smallest and largest half axis, in pixels.
        gap: between the circles around two blobs, in pixels; below 0 they may touch.
        waviness: size of the waves of the outline, as a share of the radius.

    Returns:
        One blob or more.
    """
    blobs: list[Blob] = []
    for _ in range(40 * count):
        if len(blobs) == count:
            break
        blob = _random_blob(rng, size, radius, waviness)
        if not blobs or all(
            np.hypot(blob.row - other.row, blob.column - other.column)
            > blob.long + other.long + gap
            for other in blobs
        ):
            blobs.append(blob)
    return blobs


def _random_blob(
    rng: np.random.Generator, size: tuple[int, int], radius: tuple[float, float], waviness: float
) -> Blob:
    long = float(rng.uniform(*radius))
    waves = tuple(
        (float(rng.normal(0.0, waviness / order)), float(rng.uniform(0, 2 * np.pi)))
        for order in range(1, 4)
    )
    waves = tuple((float(np.clip(s, -0.15, 0.15)), phase) for s, phase in waves)
    margin = min(long * 1.1, min(size) / 2 - 1)
    return Blob(
        row=float(rng.uniform(margin, size[0] - margin)),
        column=float(rng.uniform(margin, size[1] - margin)),
        long=long,
        short=long * float(rng.uniform(0.65, 0.95)),
        angle=float(rng.uniform(0, np.pi)),
        waves=waves,
    )
