"""Hausdorff distances between whole objects, as pixels in an instance image.

The distance between two objects is the largest distance from a pixel of either to the nearest pixel
of the other. All pixels of an object count, not only its surface, so a ring is far from the disk
that fills it (`nas.metrics.surface` compares surfaces).

Only few pixels have to be looked at, without changing the result. The nearest pixel of an object is
always on its surface. A pixel of an object A that lies outside the box around an object B, beyond
one of its sides, is not farther from B than the last pixel of A on the same line away from that
side. So the pixel of A that is farthest from B is in B's box or the first or last on a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.metrics.overlaps import Objects
from nas.metrics.semantic import Counts
from nas.metrics.surface import surface

if TYPE_CHECKING:
    from scipy.spatial import KDTree

Box = tuple[slice, ...]


class Shapes:
    """The shapes of the objects of one image, by their position in `Objects`."""

    def __init__(self, objects: Objects) -> None:
        from scipy.ndimage import find_objects

        self.image = objects.image
        self.boxes: list[Box] = find_objects(objects.image, len(objects.labels))
        self.extents: Counts = np.array(
            [[(side.start, side.stop) for side in box] for box in self.boxes], dtype=np.int64
        ).reshape(len(self.boxes), 2 * objects.image.ndim)
        """(N, 2 axes): first pixel of each object and the one after its last, along each axis."""
        self._trees: dict[int, KDTree] = {}
        self._ends: dict[int, Counts] = {}

    def ends(self, index: int) -> Counts:
        """The first and last pixels of an object on every line along an axis, (points, axes)."""
        if index not in self._ends:
            box = self.boxes[index]
            self._ends[index] = _points(_ends(self.image[box] == index + 1), box)
        return self._ends[index]

    def tree(self, index: int) -> KDTree:
        """The pixels on the surface of an object, to search for the nearest."""
        from scipy.spatial import KDTree

        if index not in self._trees:
            box = self.boxes[index]
            self._trees[index] = KDTree(_points(surface(self.image[box] == index + 1), box))
        return self._trees[index]


def hausdorff(one: Shapes, index: int, other: Shapes, other_index: int) -> float:
    """Hausdorff distance between an object of one image and one of another, in pixels.

    The images have the same shape.
    """
    return max(
        _directed(one, index, other, other_index),
        _directed(other, other_index, one, index),
    )


def distance_to_nearest(one: Shapes, index: int, other: Shapes) -> float:
    """Hausdorff distance of an object to the object of the other image where it is least.

    Raises:
        ValueError: the other image has no objects.
    """
    if not other.boxes:
        raise ValueError("there is no object to be near to")
    bounds = np.abs(other.extents - one.extents[index]).max(axis=1)
    nearest = np.inf
    for candidate in np.argsort(bounds):
        if bounds[candidate] >= nearest:
            break
        nearest = min(nearest, hausdorff(one, index, other, int(candidate)))
    return nearest


def _directed(one: Shapes, index: int, other: Shapes, other_index: int) -> float:
    """Largest distance of a pixel of the one object to the nearest of the other."""
    box = other.boxes[other_index]
    inside = (one.image[box] == index + 1) & (other.image[box] != other_index + 1)
    ends = one.ends(index)
    ends = ends[other.image[tuple(ends.T)] != other_index + 1]
    candidates = np.concatenate([ends, _points(inside, box)])
    if not len(candidates):
        return 0.0
    distances, _ = other.tree(other_index).query(candidates)
    return float(distances.max())


def _ends(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    ends = np.zeros_like(mask)
    for axis in range(mask.ndim):
        rank = mask.cumsum(axis)
        ends |= (rank == 1) | (rank == rank.take([-1], axis))
    return ends & mask


def _points(mask: NDArray[np.bool_], box: Box) -> Counts:
    """Coordinates in the image of the pixels of a mask that lies in a box, (points, axes)."""
    return np.argwhere(mask) + [side.start for side in box]
