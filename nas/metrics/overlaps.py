"""Which predicted objects overlap which true ones: the table under all measures of objects.

An instance image has one integer label for each object and 0 for the background. Labels need not be
consecutive and may be as large as the array's type allows; pixels of one label are one object even
where they do not touch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.metrics.pooling import ratio
from nas.metrics.semantic import Counts, Values


class Objects(NamedTuple):
    """The objects of one instance image, in the order of their labels."""

    labels: NDArray[np.integer]
    """(N,), ascending, without the background."""
    areas: Counts
    """(N,), in pixels."""
    image: NDArray[np.int64]
    """The instance image renumbered: 0 = background, i + 1 = the object i."""


class Overlaps(NamedTuple):
    """The M pairs of a predicted and a true object that share pixels.

    The pairs are ordered by predicted, then by true object.
    """

    predicted: Objects
    true: Objects
    predicted_index: Counts
    """(M,), into the predicted objects."""
    true_index: Counts
    """(M,), into the true objects."""
    pixels: Counts
    """(M,), shared pixels, > 0."""

    @property
    def predicted_areas(self) -> Counts:
        """Area of each pair's predicted object, (M,)."""
        return self.predicted.areas[self.predicted_index]

    @property
    def true_areas(self) -> Counts:
        """Area of each pair's true object, (M,)."""
        return self.true.areas[self.true_index]


def find_overlaps(prediction: ArrayLike, truth: ArrayLike) -> Overlaps:
    """All pairs of a predicted and a true object that share pixels.

    Args:
        prediction: instance image, integers >= 0, of any shape.
        truth: instance image of the same shape.

    Raises:
        ValueError: shapes differ, or labels are not integers or negative.
    """
    predicted, true = find_objects(prediction), find_objects(truth)
    if predicted.image.shape != true.image.shape:
        raise ValueError(
            f"prediction and truth differ in shape: {predicted.image.shape} and {true.image.shape}"
        )
    both = (predicted.image > 0) & (true.image > 0)
    columns = max(len(true.labels), 1)
    keys = (predicted.image[both] - 1) * columns + (true.image[both] - 1)
    pairs, pixels = np.unique(keys, return_counts=True)
    return Overlaps(predicted, true, pairs // columns, pairs % columns, pixels)


def find_objects(instances: ArrayLike) -> Objects:
    """The objects of an instance image of any shape.

    Raises:
        ValueError: labels are not integers or negative.
    """
    array = np.asarray(instances)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels of objects must be integers, not {array.dtype}")
    labels, numbers = np.unique(array, return_inverse=True)
    if labels.size and labels[0] < 0:
        raise ValueError(f"labels of objects must be 0 or more, found {labels[0]}")
    if not (labels.size and labels[0] == 0):
        labels, numbers = np.append(np.zeros(1, labels.dtype), labels), numbers + 1
    image = numbers.reshape(array.shape).astype(np.int64, copy=False)
    areas = np.bincount(image.ravel(), minlength=len(labels))
    return Objects(labels[1:], areas[1:], image)


def intersection_over_union(overlaps: Overlaps) -> Values:
    """Shared pixels over the pixels of either, for each pair, (M,) in (0, 1]."""
    union = overlaps.predicted_areas + overlaps.true_areas - overlaps.pixels
    return ratio(overlaps.pixels, union)


def largest_of_each(index: Counts, values: ArrayLike, objects: int) -> Counts:
    """For each object, its pair with the largest value.

    Args:
        index: (M,), the object of each pair, such as `Overlaps.true_index`.
        values: (M,), such as the shared pixels.
        objects: number N of objects.

    Returns:
        (N,), the position of the pair, -1 for an object without one. Of equal values the first
        pair counts, which is the one with the lower label on the other side.
    """
    order = np.lexsort((-np.asarray(values), index))
    owners, first = np.unique(index[order], return_index=True)
    largest = np.full(objects, -1, dtype=np.int64)
    largest[owners] = order[first]
    return largest
