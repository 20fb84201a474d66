"""Areas under the curves of a segmenter's probabilities, for each class against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import nn

from nas import plots
from nas.data.batches import Samples, in_order
from nas.data.cases import Subset
from nas.evaluate import opened
from nas.metrics.curves import average_precision, per_image, roc_auc, roc_curve
from nas.metrics.semantic import mean_defined
from nas.modes import modes_kept
from nas.runs import RunFolder, atomic_write, unwritable


class Areas(Struct, frozen=True, kw_only=True):
    """Of one class against all others; None where the class, or anything else, does not occur.

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


def evaluate_areas(folder: RunFolder, subset: Subset, device: str) -> tuple[dict[str, Areas], Path]:
    """The areas of every foreground class on a subset of a run's split.

    Written below evaluation/SUBSET in the folder: areas.json and the ROC curves, roc.png.

    Returns:
        The areas by the name of the class, and the folder they were written to.

    Raises:
        DataError: the subset is empty.
        RunError: the run is not usable, or the results cannot be written.
    """
    data, segmenter, samples = opened(folder, subset, device)
    found = probabilities(segmenter.network, samples)
    truths = [samples.batch([case]).labels[0].cpu().numpy() for case in samples.ids]
    classes = list(enumerate(data.classes))[1:]
    areas = {name: class_areas([each[k] for each in found], truths, k) for k, name in classes}
    out = folder.path / "evaluation" / subset
    with atomic_write(out / "areas.json") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(areas), indent=2))
    curves = {
        name: roc_curve(np.stack([each[k] for each in found]), np.stack(truths) == k)
        for k, name in classes
    }
    try:
        plots.save(plots.roc_curves(curves), out / "roc.png")
    except OSError as error:
        raise unwritable(out / "roc.png", error) from error
    return areas, out


@torch.no_grad()
def probabilities(segmenter: nn.Module, samples: Samples) -> list[np.ndarray]:
    """Softmax of the logits for each case, (K, H, W) float32; the segmenter in evaluation mode."""
    with modes_kept(segmenter):
        segmenter.eval()
        batches = in_order(samples, 1)
        return [segmenter(each.images).softmax(dim=1)[0].cpu().numpy() for each in batches]


def class_areas(scores: Sequence[np.ndarray], truths: Sequence[np.ndarray], label: int) -> Areas:
    """The areas of one class.

    Args:
        scores: its probability at each pixel, (H, W) for each image.
        truths: class indices (H, W) of each image.
        label: index of the class.
    """
    found = [truth == label for truth in truths]
    pooled = np.stack(scores), np.stack(found)
    return Areas(
        roc_auc=_defined(roc_auc(*pooled)),
        roc_auc_per_image=_defined(float(mean_defined(per_image(roc_auc, scores, found)))),
        average_precision=_defined(average_precision(*pooled)),
        average_precision_per_image=_defined(
            float(mean_defined(per_image(average_precision, scores, found)))
        ),
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
