"""Living cells under a phase-contrast microscope, alone or as a film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.data.scenes.blobs import Blob, strew
from nas.data.scenes.scene import Scene, clipped, clouds

CLASSES = ("background", "cell")


@dataclass(frozen=True)
class Track:
    """One cell of a film.

    Attributes:
        label: number of the cell in every frame that shows it.
        begin, end: first and last frame that show it, counted from 0.
        parent: label of the cell it came from by division, 0 where there is none.
    """

    label: int
    begin: int
    end: int
    parent: int


@dataclass(frozen=True)
class Film:
    """The frames of a film, whose instances keep their numbers, and the tracks of its cells."""

    frames: tuple[Scene, ...]
    tracks: tuple[Track, ...]


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Dark cells with bright halos on grey; some touch.

    Args:
        rng: is drawn from.
        size: height and width.

    Returns:
        Grey; labels 0 background, 1 cell; instances 1, 2, ...
    """
    return film(rng, size, 1).frames[0]


def film(rng: np.random.Generator, size: tuple[int, int], frames: int) -> Film:
    """Cells that wander; one of them divides where there are two frames or more.

    Args:
        rng: is drawn from.
        size: height and width.
        frames: number of frames, 1 or more.
    """
    side = min(size)
    count = int(rng.integers(8, 15))
    blobs = strew(rng, size, count, (0.05 * side, 0.09 * side), -0.03 * side, 0.08)
    alive = dict(enumerate(blobs, start=1))
    parents = dict.fromkeys(alive, 0)
    begin = dict.fromkeys(alive, 0)
    scenes, end = [], {}
    backdrop = clouds(rng, size, side / 5)
    for frame in range(frames):
        if frame > 0:
            alive = {label: _moved(rng, blob, side) for label, blob in alive.items()}
        if frame > 0 and frame == frames // 2:
            alive = _divided(alive, parents, begin, frame)
        instances = _painted(alive, size)
        end.update({int(label): frame for label in np.unique(instances) if label})
        scenes.append(_develop(rng, instances, alive, backdrop, side))
    tracks = tuple(Track(label, begin[label], end[label], parents[label]) for label in sorted(end))
    return Film(tuple(scenes), tracks)


def _moved(rng: np.random.Generator, blob: Blob, side: int) -> Blob:
    rows, columns = rng.normal(0, 0.006 * side, 2)
    return blob.moved(float(rows), float(columns))


def _divided(
    alive: dict[int, Blob], parents: dict[int, int], begin: dict[int, int], frame: int
) -> dict[int, Blob]:
    """The cells after the first of them has become two; the daughters get new numbers."""
    mother = min(alive)
    blob = alive.pop(mother)
    apart = 0.55 * blob.long
    rows, columns = apart * np.sin(blob.angle), apart * np.cos(blob.angle)
    for sign in (-1, 1):
        label = max(max(alive, default=0), max(parents)) + 1
        parents[label], begin[label] = mother, frame
        alive[label] = blob.moved(sign * rows, sign * columns).scaled(0.6)
    return alive


def _painted(alive: dict[int, Blob], size: tuple[int, int]) -> np.ndarray:
    """(H, W) int32; where two cells meet, a pixel belongs to the one whose centre is nearer."""
    instances = np.zeros(size, dtype=np.int32)
    nearest = np.ones(size, dtype=np.float32)
    for label, blob in alive.items():
        box, radius = blob.relative_radius(size)
        nearer = radius < nearest[box]
        instances[box][nearer] = label
        nearest[box][nearer] = radius[nearer]
    return instances


def _develop(
    rng: np.random.Generator,
    instances: np.ndarray,
    alive: dict[int, Blob],
    backdrop: np.ndarray,
    side: int,
) -> Scene:
    size = (instances.shape[0], instances.shape[1])
    image = 0.5 + 0.03 * backdrop + 0.012 * clouds(rng, size, 0.7)
    texture = clouds(rng, size, side / 100)
    for blob in alive.values():
        box, radius = blob.relative_radius(size)
        halo = 0.30 * np.exp(-(((radius - 1.12) / 0.12) ** 2)) * (radius > 1.0)
        image[box] += halo * (instances[box] == 0)
    cell = instances > 0
    image[cell] += -0.17 + 0.05 * texture[cell]
    return Scene(image=clipped(image), labels=cell.astype(np.uint8), instances=instances)
