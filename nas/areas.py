"""Areas under the curves of a segmenter's probabilities, for each class against the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from nas.metrics.curves import Thresholds, areas_of, merged
from nas.metrics.semantic import mean_defined


class Areas(Struct, frozen=True, kw_only=True):
    """Of one class against all others; None where the class, or anything else, does not occur.

    Only pixels that count are taken: of known class, inside the field of view.

    Attributes:
        roc_auc: area under the ROC curve of all pixels pooled, in [0, 1].
        roc_auc_per_image: mean over the images of the area of each.
        average_precision: of all pixels pooled, in [0, 1].
        average_precision_per_image: mean over the images.
    """

    roc_auc: float | None
    roc_auc_per_image: float | None
    average_precision: float | None
    average_precision_per_image: float | None


def class_areas(images: Sequence[Thresholds]) -> Areas:
    """The areas of one class.

    Args:
        images: thresholds of its probability in each image, one or more.
    """
    pooled = areas_of(merged(images))
    each = np.array([areas_of(image) for image in images])
    roc_auc_per_image, average_precision_per_image = mean_defined(each, axis=0).tolist()
    return Areas(
        roc_auc=_defined(pooled.roc_auc),
        roc_auc_per_image=_defined(roc_auc_per_image),
        average_precision=_defined(pooled.average_precision),
        average_precision_per_image=_defined(average_precision_per_image),
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
