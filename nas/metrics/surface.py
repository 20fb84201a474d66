"""Distances between the surfaces of a predicted and a true region.

The surface of a mask is its pixels that have a neighbour outside it along an axis (4 neighbours in
2D); beyond the image's border is outside. Distances are Euclidean, between centres of pixels, in
the units of ``spacing``, which is the size of a pixel along each axis or one size for all.

Missing structures, everywhere in this module:

- neither mask has a pixel: the distance is undefined, NaN, and means leave it out, as
  `nas.metrics.semantic` does with a class that is in neither. (Others count 0, which makes means
  look better the rarer a structure is.)
- only the truth has pixels (``missed``) or only the prediction has (``spurious``): the distance is
  the diagonal of the image, more than any distance inside it. (Others give NaN, infinity or 0.)
  Numbers of such cases belong next to every mean; `score_surfaces` counts them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from nas.metrics.semantic import Values, mean_defined

Mask = NDArray[np.bool_]
Spacing = float | Sequence[float]


class Directed(NamedTuple):
    """Distances from each surface pixel of one mask to the nearest of the other; both not empty."""

    from_prediction: Values
    from_truth: Values


class SurfaceScores(NamedTuple):
    """Surface distances of one image, each (K,), one entry per class, background first."""

    hd95: Values
    assd: Values
    missed: Mask
    """The class is in the truth, not in the prediction."""
    spurious: Mask
    """The class is in the prediction, not in the truth."""


class MeanDistance(Struct, frozen=True, kw_only=True):
    """Mean of one distance over images, None where it is undefined.

    ``per_class`` has one entry per class, background first, each the mean over the images in which
    the class is in the truth or the prediction. ``mean`` is the mean over the images of their own
    means over all classes, ``mean_foreground`` over all but the background.
    """

    per_class: tuple[float | None, ...]
    mean: float | None
    mean_foreground: float | None


class SurfaceSummary(Struct, frozen=True, kw_only=True):
    """The surface distances of a set of images.

    ``missed`` and ``spurious`` count for each class the images whose distance is the diagonal.
    """

    classes: tuple[str, ...]
    images: int
    hd95: MeanDistance
    assd: MeanDistance
    missed: tuple[int, ...]
    spurious: tuple[int, ...]


def surface(mask: ArrayLike) -> Mask:
    """The pixels of a mask that have a neighbour outside it, of the same shape.

    Raises:
        ValueError: the mask has other values than 0 and 1.
    """
    from scipy.ndimage import binary_erosion

    inside = _mask(mask)
    return inside & ~binary_erosion(inside)


def hausdorff(prediction: ArrayLike, truth: ArrayLike, spacing: Spacing = 1.0) -> float:
    """Hausdorff distance of the surfaces: the largest of all distances to the other surface.

    Args:
        prediction: mask of any shape, of booleans or 0 and 1.
        truth: mask of the same shape.
        spacing: size of a pixel, one number or one for each axis, > 0.

    Returns:
        >= 0, in the units of the spacing; see the module for missing structures.

    Raises:
        ValueError: shapes differ, a mask has other values than 0 and 1, or the spacing is not
            positive or does not fit the axes.
    """
    return _distance(prediction, truth, spacing, _largest)


def hd95(prediction: ArrayLike, truth: ArrayLike, spacing: Spacing = 1.0) -> float:
    """The larger of the two directed 95th percentiles of the surface distances.

    It is MONAI's definition. medpy takes one percentile of the distances of both directions
    together, which is a different number. The percentile is linearly interpolated.

    Args, result and errors as `hausdorff`.
    """
    return _distance(prediction, truth, spacing, _percentile95)


def assd(prediction: ArrayLike, truth: ArrayLike, spacing: Spacing = 1.0) -> float:
    """Average symmetric surface distance: the mean of all distances of both directions together.

    It is the definition of Heimann et al. (IEEE Trans. Med. Imaging 2009) and of MONAI, in which
    the longer surface counts more. medpy calls assd the mean of the two directed means, which is a
    different number (also known as mean average surface distance).

    Args, result and errors as `hausdorff`.
    """
    return _distance(prediction, truth, spacing, _average)


def surface_distances(
    prediction: ArrayLike, truth: ArrayLike, classes: int, spacing: Spacing = 1.0
) -> SurfaceScores:
    """HD95 and ASSD of each class of an image.

    Args:
        prediction: integers in 0..classes-1, any shape.
        truth: the same.
        classes: number K of classes, with the background.
        spacing: as in `hausdorff`.

    Raises:
        ValueError: as `hausdorff`, or a value is no class.
    """
    predicted, true = _classes(prediction, classes), _classes(truth, classes)
    masks = [(predicted == index, true == index) for index in range(classes)]
    measures = [_measure(*pair, spacing, (_percentile95, _average)) for pair in masks]
    in_prediction, in_truth = np.array([[mask.any() for mask in pair] for pair in masks]).T
    return SurfaceScores(
        hd95=np.array([first for first, _ in measures]),
        assd=np.array([second for _, second in measures]),
        missed=in_truth & ~in_prediction,
        spurious=in_prediction & ~in_truth,
    )


def score_surfaces(images: Sequence[SurfaceScores], classes: Sequence[str]) -> SurfaceSummary:
    """Mean surface distances of a set of images, and the cases in which a structure is missing.

    Args:
        images: one result of `surface_distances` for each image.
        classes: the K names, background first.

    Raises:
        ValueError: an image has another number of classes.
    """
    for one in images:
        if len(one.hd95) != len(classes):
            raise ValueError(f"expected {len(classes)} classes, got {len(one.hd95)}")
    shape = (len(images), len(classes))
    return SurfaceSummary(
        classes=tuple(classes),
        images=len(images),
        hd95=_mean(np.reshape([one.hd95 for one in images], shape)),
        assd=_mean(np.reshape([one.assd for one in images], shape)),
        missed=_count(np.reshape([one.missed for one in images], shape)),
        spurious=_count(np.reshape([one.spurious for one in images], shape)),
    )


def diagonal(shape: Sequence[int], spacing: Spacing = 1.0) -> float:
    """Length of the diagonal of an image with its outer pixels in full."""
    return float(np.linalg.norm(np.asarray(shape) * _sizes(spacing, len(shape))))


def _largest(distances: Directed) -> float:
    return float(max(distances.from_prediction.max(), distances.from_truth.max()))


def _percentile95(distances: Directed) -> float:
    return float(max(np.percentile(direction, 95) for direction in distances))


def _average(distances: Directed) -> float:
    return float(np.concatenate(distances).mean())


class _Reduction(Protocol):
    def __call__(self, distances: Directed) -> float: ...


def _distance(
    prediction: ArrayLike, truth: ArrayLike, spacing: Spacing, reduce: _Reduction
) -> float:
    (value,) = _measure(_mask(prediction), _mask(truth), spacing, (reduce,))
    return value


def _measure(
    prediction: Mask, truth: Mask, spacing: Spacing, reductions: Sequence[_Reduction]
) -> list[float]:
    """Each reduction of the same distances, with the module's convention for empty masks."""
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction and truth differ in shape: {prediction.shape} and {truth.shape}"
        )
    sizes = _sizes(spacing, prediction.ndim)
    present = prediction.any(), truth.any()
    if not any(present):
        return [math.nan] * len(reductions)
    if not all(present):
        return [diagonal(prediction.shape, spacing)] * len(reductions)
    distances = _directed(prediction, truth, sizes)
    return [reduce(distances) for reduce in reductions]


def _directed(prediction: Mask, truth: Mask, sizes: Values) -> Directed:
    from scipy.ndimage import distance_transform_edt

    box = _box(prediction | truth)
    predicted, true = surface(prediction[box]), surface(truth[box])
    return Directed(
        from_prediction=distance_transform_edt(~true, sampling=sizes)[predicted],
        from_truth=distance_transform_edt(~predicted, sampling=sizes)[true],
    )


def _box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around a mask that is not empty.

    What it cuts off is outside of the mask, so a surface inside the box is the same.
    """
    from scipy.ndimage import find_objects

    (box,) = find_objects(mask.astype(np.int8))
    return box


def _mask(values: ArrayLike) -> Mask:
    array = np.asarray(values)
    if not ((array == 0) | (array == 1)).all():
        raise ValueError("a mask must be 0 or 1 at every pixel")
    return array.astype(bool)


def _classes(values: ArrayLike, classes: int) -> NDArray[np.integer]:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels must be integers, not {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() < classes):
        raise ValueError(
            f"labels must be in 0..{classes - 1}, found {array.min()} to {array.max()}"
        )
    return array


def _sizes(spacing: Spacing, axes: int) -> Values:
    sizes = np.asarray(spacing, np.float64)
    if sizes.shape not in ((), (axes,)):
        raise ValueError(f"the spacing {spacing} must be one number or one for each of {axes} axes")
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError(f"the spacing {spacing} must be positive and finite")
    return np.broadcast_to(sizes, (axes,))


def _mean(values: Values) -> MeanDistance:
    """(N, K): means over the N images."""
    return MeanDistance(
        per_class=tuple(_optional(value) for value in mean_defined(values, axis=0)),
        mean=_optional(mean_defined(mean_defined(values))),
        mean_foreground=_optional(mean_defined(mean_defined(values[:, 1:]))),
    )


def _count(flags: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(number) for number in flags.sum(0))


def _optional(value: float | Values) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
