"""What the page about data keeps of each case while it is decoded, and which cases it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.data.cases import UNKNOWN, natural_order
from nas.data.findings import Seen
from nas.page_pictures import mask_layer, png, small_picture

SIDE = 224
"""Longer side of a picture, in pixels."""
LEVELS = 64
"""Steps of the histograms of intensity."""


@dataclass(frozen=True)
class Tile:
    """A case on the page.

    Attributes:
        id: of the case.
        image: PNG.
        mask: PNG with transparent background, of the same size; None where no mask could be read.
        height: of the stored image, in pixels.
        width: of the stored image.
        foreground: share of the pixels; None where no mask could be read.
        objects: how many; None where they are not told apart.
    """

    id: str
    image: bytes
    mask: bytes | None
    height: int
    width: int
    foreground: float | None
    objects: int | None


@dataclass
class Album:
    """Small pictures of all cases, some 30 KB each, and the numbers behind the histograms.

    Attributes:
        tiles: by id.
        intensities: (channels, LEVELS) pixels of all images; None before the first.
        shares: of each case with a mask, the share of the pixels per class.
        object_sizes: in pixels, of each case whose objects are told apart.
    """

    tiles: dict[str, Tile] = field(default_factory=dict)
    intensities: NDArray[np.int64] | None = None
    shares: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    object_sizes: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        """Keep what the page may need of a case; one without an image is passed over."""
        if seen.image is None:
            return
        self._count(seen.image)
        shape = seen.image.shape[1:]
        mask = seen.mask if seen.mask is not None and seen.mask.shape == shape else None
        objects = seen.instances if mask is not None else None
        if objects is not None and objects.shape != shape:
            objects = None
        if mask is not None:
            counts = np.bincount(mask.ravel(), minlength=UNKNOWN + 1)
            self.shares[seen.case.id] = counts[:UNKNOWN] / mask.size
        if objects is not None:
            sizes = np.unique(objects[objects > 0], return_counts=True)[1]
            self.object_sizes[seen.case.id] = sizes
        self.tiles[seen.case.id] = Tile(
            id=seen.case.id,
            image=png(small_picture(seen.image, SIDE)),
            mask=None if mask is None else mask_layer(mask, SIDE, objects),
            height=shape[0],
            width=shape[1],
            foreground=None if mask is None else float(self.shares[seen.case.id][1:].sum()),
            objects=None if objects is None else len(self.object_sizes[seen.case.id]),
        )

    def _count(self, image: NDArray[np.float32]) -> None:
        levels = np.minimum((np.clip(image, 0, 1) * LEVELS).astype(np.int64), LEVELS - 1)
        counts = np.stack([np.bincount(each.ravel(), minlength=LEVELS) for each in levels])
        self.intensities = counts if self.intensities is None else self.intensities + counts


def extremes(album: Album, without_foreground: Sequence[str], most: int) -> dict[str, str]:
    """The cases with the largest and the smallest foreground, and some without any.

    Args:
        album: of the data.
        without_foreground: cases whose mask holds background only.
        most: how many to name.

    Returns:
        By id, what is special about the case.
    """
    foreground = {id: tile.foreground for id, tile in album.tiles.items() if tile.foreground}
    named: dict[str, str] = {}
    if foreground:
        named[max(foreground, key=lambda id: foreground[id])] = "largest foreground"
        named.setdefault(min(foreground, key=lambda id: foreground[id]), "smallest foreground")
    for id in [id for id in without_foreground if id in album.tiles][:2]:
        named[id] = "no foreground"
    return dict(list(named.items())[: max(most, 0)])


def spread(places: Mapping[str, Sequence[str]], count: int) -> dict[str, list[str]]:
    """Cases of each subset, as many as is its part of all, evenly over their natural order.

    Args:
        places: the ids of each subset.
        count: how many in all; a subset that has cases is given one, as long as there are enough.

    Returns:
        The chosen ids of each subset, together ``count`` where there are as many.
    """
    left = {name: list(natural_order(ids)) for name, ids in places.items() if ids}
    shares = dict.fromkeys(left, 0)
    total = sum(map(len, left.values()))
    for _ in range(min(count, total)):
        shares[max(left, key=lambda name: _claim(len(left[name]), shares[name]))] += 1
    return {
        name: [ids[place] for place in _evenly(len(ids), shares[name])]
        for name, ids in left.items()
        if shares[name]
    }


def _claim(cases: int, given: int) -> tuple[bool, float]:
    """How much a subset is due a further case: one without any first, then the largest quotient."""
    return given == 0, cases / (given + 1) if given < cases else 0.0


def _evenly(length: int, count: int) -> list[int]:
    """``count`` places of ``length``, the middles of parts of equal length."""
    return [int((place + 0.5) * length / count) for place in range(count)]
