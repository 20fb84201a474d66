"""Weights that teach a segmenter the narrow gaps between neighbouring objects."""

from __future__ import annotations

from itertools import combinations, count, islice
from math import comb

import numpy as np

from nas.data.cases import UNKNOWN


def border_weights(instances: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """Weight of each pixel by how narrow the gap between its two nearest objects is.

    w(x) = w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2))   (Ronneberger et al. 2015, Eq. 2; Livne)

    d1 and d2 are the exact Euclidean distances, in pixels, to the nearest and the second nearest
    object; within an object d1 is 0. Livne's code has sigma in place of sigma^2 (16, which is a
    width of 4 pixels), takes the objects of class 1 behind a binary opening, and leaves the term
    out of its last version.

    Args:
        instances: (H, W) integers, 0 is background, each object has its own positive number.
        w0: weight in a gap of no width, >= 0.
        sigma: width of the gap that still counts, in pixels, > 0.

    Returns:
        (H, W) float32 in [0, w0], zero everywhere when there are fewer than two objects.

    Raises:
        ValueError: instances is not a two-dimensional array of integers >= 0, or w0 or sigma is
            out of range.
    """
    _check(instances)
    if not (w0 >= 0 and sigma > 0):
        raise ValueError(f"w0 is {w0} and sigma {sigma}: expected w0 >= 0 and sigma > 0.")
    numbers = np.unique(instances[instances > 0])
    if len(numbers) < 2:
        return np.zeros(instances.shape, dtype=np.float32)
    nearest, second = _two_distances(np.searchsorted(numbers, instances), instances == 0)
    weights: np.ndarray = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return weights.astype(np.float32)


def objects(labels: np.ndarray) -> np.ndarray:
    """The objects of a mask that has no numbers of instances.

    They are the 8-connected components of each foreground class. Objects of one class that touch
    count as one, neighbouring objects of two classes as two. Unknown pixels are no object.

    Args:
        labels: (H, W) class indices, 0 is background, or `UNKNOWN`.

    Returns:
        (H, W) int32: 0 in the background, 1, 2, ... in the objects.

    Raises:
        ValueError: labels is not a two-dimensional array of integers >= 0.
    """
    from scipy import ndimage

    _check(labels)
    found = np.zeros(labels.shape, dtype=np.int32)
    total = 0
    for name in np.unique(labels[(labels > 0) & (labels != UNKNOWN)]):
        components, number = ndimage.label(labels == name, structure=np.ones((3, 3)))
        found += np.where(components > 0, components + total, 0).astype(np.int32)
        total += number
    return found


def _check(array: np.ndarray) -> None:
    integers = isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.integer)
    if not integers or array.ndim != 2 or (array.size and array.min() < 0):
        raise ValueError("Expected a two-dimensional array (H, W) of integers >= 0.")


def _two_distances(indices: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest and the second nearest of two objects or more.

    The objects are covered by a few groups such that, of any two objects, some group holds the
    second and not the first. The second nearest object is then the nearest one within the groups
    without the nearest object: one distance transform per group (10 for 250 objects), instead of
    one per object.

    Args:
        indices: (H, W) integers 0..K-1, the object of each foreground pixel; of the background,
            anything in this range.
        background: (H, W) bool.
    """
    from scipy.ndimage import distance_transform_edt

    nearest, places = distance_transform_edt(background, return_indices=True)
    owner = indices[tuple(places)]
    second = np.full(nearest.shape, np.inf)
    for members in _groups(int(indices.max()) + 1):
        distance = distance_transform_edt(background | ~members[indices])
        np.minimum(second, distance, out=second, where=~members[owner])
    return nearest, second


def _groups(size: int) -> np.ndarray:
    """(G, size) bool, which of so many objects each group holds.

    Each object is in a different half of the groups, so that no object is in all the groups of
    another: the largest such family by Sperner's theorem.
    """
    groups = next(number for number in count(2) if comb(number, number // 2) >= size)
    members = np.zeros((groups, size), dtype=bool)
    for index, half in enumerate(islice(combinations(range(groups), groups // 2), size)):
        members[list(half), index] = True
    return members
