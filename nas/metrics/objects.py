"""Scores of an instance segmentation: from class maps to objects, and all measures of objects.

Each measure is defined in its own module: `nas.metrics.glas`, `aji`, `panoptic` and `ctc_seg`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from nas.metrics.aji import aji, aji_sums
from nas.metrics.ctc_seg import seg, seg_sums
from nas.metrics.glas import detections, dice_sums, hausdorff_sums, object_f1, object_mean
from nas.metrics.overlaps import find_overlaps
from nas.metrics.panoptic import (
    detection_quality,
    panoptic_quality,
    panoptic_sums,
    segmentation_quality,
)
from nas.metrics.pooling import TallyMeasure, mean_per_image, pooled
from nas.metrics.semantic import Counts, Values


class ObjectMeasures(Struct, frozen=True, kw_only=True):
    """All measures of objects, computed in one way; None where undefined.

    ``object_hausdorff`` is in pixels, smaller is better; the others are in [0, 1]. ``f1`` is that
    of GlaS; ``dq`` is the F1 of matches with IoU > 0.5.
    """

    f1: float | None
    object_dice: float | None
    object_hausdorff: float | None
    aji: float | None
    pq: float | None
    sq: float | None
    dq: float | None
    seg: float | None


class ObjectCounts(Struct, frozen=True, kw_only=True):
    """Numbers of objects, and of images without them.

    ``detected`` are the true positives of GlaS, ``matched`` the pairs with IoU > 0.5.
    ``missed_images`` have true objects and none predicted, ``spurious_images`` the reverse,
    ``empty_images`` neither; the distances of the first two kinds are the image's diagonal.
    """

    images: int
    true_objects: int
    predicted_objects: int
    detected: int
    matched: int
    missed_images: int
    spurious_images: int
    empty_images: int


class ObjectScores(Struct, frozen=True, kw_only=True):
    """The measures of the objects of a set of images.

    ``pooled`` takes the objects of all images as of one, so images with more or larger objects
    count more. ``per_image`` is the mean over the images in which a measure is defined. The two
    ways differ, as do published numbers.
    """

    counts: ObjectCounts
    pooled: ObjectMeasures
    per_image: ObjectMeasures


class ObjectTally(NamedTuple):
    """What one image adds to each measure, or a stack over images of it."""

    detections: Counts
    dice: Values
    hausdorff: Values
    aji: Counts
    panoptic: Values
    seg: Values
    objects: Counts
    """Number of predicted and of true objects."""


_LENGTHS = (3, 4, 4, 2, 4, 2, 2)
"""Of the fields of a tally."""


def instances(classes: ArrayLike, smallest: int = 0) -> NDArray[np.int64]:
    """The objects of a class map: its connected regions.

    Pixels of one class that touch at a side or a corner are of one object (8 neighbours in 2D).
    Regions of different classes are different objects.

    Args:
        classes: integers or booleans, 0 or False for the background, of one to three axes.
        smallest: regions of fewer pixels become background; 0 and 1 keep all.

    Returns:
        Instance image of the same shape: 0 for the background, objects from 1 on without a gap.

    Raises:
        ValueError: the values are neither integers nor booleans, or ``smallest`` is negative.
    """
    from skimage.measure import label

    array = np.asarray(classes)
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise ValueError(f"classes must be integers or booleans, not {array.dtype}")
    if smallest < 0:
        raise ValueError(f"the smallest object must have 0 pixels or more, not {smallest}")
    regions = label(array, background=0, connectivity=array.ndim)
    kept = np.bincount(regions.ravel()) >= smallest
    kept[:1] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int64)[regions]


def tally_objects(prediction: ArrayLike, truth: ArrayLike) -> ObjectTally:
    """Compare the objects of one image.

    Args:
        prediction: predicted instance image, integers, 0 for the background.
        truth: true instance image of the same shape.

    Raises:
        ValueError: the shapes differ, or labels are not integers or negative.
    """
    overlaps = find_overlaps(prediction, truth)
    return ObjectTally(
        detections=detections(overlaps),
        dice=dice_sums(overlaps),
        hausdorff=hausdorff_sums(overlaps),
        aji=aji_sums(overlaps),
        panoptic=panoptic_sums(overlaps),
        seg=seg_sums(overlaps),
        objects=np.array([len(overlaps.predicted.labels), len(overlaps.true.labels)]),
    )


def score_objects(tallies: Sequence[ObjectTally]) -> ObjectScores:
    """All measures of the objects of a set of images, from the tally of each (`tally_objects`)."""
    stacks = ObjectTally(
        *(
            np.reshape([tally[index] for tally in tallies], (len(tallies), length))
            for index, length in enumerate(_LENGTHS)
        )
    )
    return ObjectScores(
        counts=_counts(stacks),
        pooled=_measures(pooled, stacks),
        per_image=_measures(mean_per_image, stacks),
    )


def case_objects(tally: ObjectTally) -> dict[str, float]:
    """The measures of one image and its numbers of objects, by name; NaN where undefined."""
    values = {name: float(measure(part)) for name, measure, part in _parts(tally)}
    predicted, true = tally.objects
    return values | {
        "true_objects": float(true),
        "predicted_objects": float(predicted),
        "detected": float(tally.detections[0]),
        "matched": float(tally.panoptic[0]),
    }


def _parts(tally: ObjectTally) -> list[tuple[str, TallyMeasure, Values | Counts]]:
    """Name, measure and what it measures, for each field of `ObjectMeasures`."""
    return [
        ("f1", object_f1, tally.detections),
        ("object_dice", object_mean, tally.dice),
        ("object_hausdorff", object_mean, tally.hausdorff),
        ("aji", aji, tally.aji),
        ("pq", panoptic_quality, tally.panoptic),
        ("sq", segmentation_quality, tally.panoptic),
        ("dq", detection_quality, tally.panoptic),
        ("seg", seg, tally.seg),
    ]


def _measures(
    way: Callable[[TallyMeasure, ArrayLike], float], stacks: ObjectTally
) -> ObjectMeasures:
    values = {name: _optional(way(measure, part)) for name, measure, part in _parts(stacks)}
    return ObjectMeasures(**values)


def _counts(stacks: ObjectTally) -> ObjectCounts:
    predicted, true = stacks.objects.T
    return ObjectCounts(
        images=len(stacks.objects),
        true_objects=int(true.sum()),
        predicted_objects=int(predicted.sum()),
        detected=int(stacks.detections[:, 0].sum()),
        matched=int(stacks.panoptic[:, 0].sum()),
        missed_images=int(((true > 0) & (predicted == 0)).sum()),
        spurious_images=int(((true == 0) & (predicted > 0)).sum()),
        empty_images=int(((true == 0) & (predicted == 0)).sum()),
    )


def _optional(number: float) -> float | None:
    return None if math.isnan(number) else number
