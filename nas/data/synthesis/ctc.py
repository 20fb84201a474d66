"""A two-dimensional set of the Cell Tracking Challenge (Ulman et al. 2017, Maska et al. 2023).

Sequences 01 and 02: 01/t000.tif ... (8-bit grey; four digits where there are more than 1,000
frames), gold truth 01_GT/SEG/man_seg000.tif of a few frames, in some of which cells are missing,
and 01_GT/TRA/man_track000.tif of all frames with man_track.txt (label, first frame, last frame,
parent), silver truth 01_ST/SEG/man_seg000.tif of all frames. All truth is 16-bit, 0 background
and a number for each cell; the numbers of TRA and of silver truth stay with the cell, those of
gold SEG belong to the frame. TRA shows a marker in each cell, not its outline.
Assumed, without a source at hand: the depth and size of the images, those of PhC-C2DH-U373, and
that the numbers of gold SEG are of the frame alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.scenes import cells as scene
from nas.data.synthesis.files import (
    bytes_of,
    generator,
    require_cases,
    require_size,
    save_picture,
    save_text,
)
from nas.data.synthesis.observers import second_observer

FOLDER = "PhC-C2DH-Generated"
SIZE = (520, 696)
"""Size of PhC-C2DH-U373."""
GOLD = 3
"""Every so many frames have gold SEG truth; every second of these misses cells."""
MISSED = 3
"""Every so many cells are missed there."""


def write(root: Path, cases: int, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Write two sequences with gold and silver truth.

    Args:
        root: folder to write into.
        cases: frames of both sequences together, 2 or more.
        seed: of what is drawn.
        size: height and width.

    Raises:
        ValueError: there are too few cases, or the size is too small.
    """
    require_cases(cases, 2, 20000)
    require_size(size, 64)
    for sequence, frames in (("01", cases - cases // 2), ("02", cases // 2)):
        rng = generator(seed, int(sequence))
        _write_sequence(root / FOLDER, sequence, scene.film(rng, size, frames), rng)


def _write_sequence(
    folder: Path, sequence: str, film: scene.Film, rng: np.random.Generator
) -> None:
    digits = 3 if len(film.frames) <= 1000 else 4
    gold, silver = folder / f"{sequence}_GT", folder / f"{sequence}_ST"
    for number, frame in enumerate(film.frames):
        assert frame.instances is not None
        name = f"{number:0{digits}d}.tif"
        save_picture(folder / sequence / f"t{name}", bytes_of(frame.image))
        _save(gold / "TRA" / f"man_track{name}", _markers(frame.instances))
        _save(silver / "SEG" / f"man_seg{name}", _silver(rng, frame.instances))
        if number % GOLD == 0:
            sparse = (number // GOLD) % 2 == 1
            _save(gold / "SEG" / f"man_seg{name}", _gold(frame.instances, sparse))
    tracks = [f"{t.label} {t.begin} {t.end} {t.parent}" for t in film.tracks]
    save_text(gold / "TRA" / "man_track.txt", tracks)


def _save(path: Path, labels: np.ndarray) -> None:
    save_picture(path, labels.astype(np.uint16))


def _numbers(instances: np.ndarray) -> list[int]:
    return [int(number) for number in np.unique(instances) if number]


def _gold(instances: np.ndarray, sparse: bool) -> np.ndarray:
    """Exact outlines under new numbers, some cells left out where ``sparse``."""
    labels = np.zeros_like(instances)
    kept = [n for i, n in enumerate(_numbers(instances)) if not sparse or i % MISSED]
    for number, cell in enumerate(kept, start=1):
        labels[instances == cell] = number
    return labels


def _silver(rng: np.random.Generator, instances: np.ndarray) -> np.ndarray:
    """Outlines as a computer would have drawn them: shaken, the numbers kept."""
    shaken = second_observer(rng, instances > 0)
    return np.where(shaken, _spread(instances), 0)


def _spread(instances: np.ndarray) -> np.ndarray:
    """The number of the nearest cell, everywhere."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(
        instances == 0, return_distances=False, return_indices=True
    )
    spread: np.ndarray = instances[rows, columns]
    return spread


def _markers(instances: np.ndarray) -> np.ndarray:
    """The inner part of each cell, at least one pixel of it."""
    from scipy.ndimage import distance_transform_edt

    labels = np.zeros_like(instances)
    for number in _numbers(instances):
        depth = distance_transform_edt(np.pad(instances == number, 1))[1:-1, 1:-1]
        labels[depth >= 0.6 * depth.max()] = number
    return labels
