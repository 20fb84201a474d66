"""Everything that is measured on one case, from one pass of the segmenter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nas.data.cases import Case
from nas.ground_truth import GroundTruth
from nas.metrics.calibration import calibration_tallies
from nas.metrics.curves import Thresholds, thresholds
from nas.metrics.objects import ObjectTally, instances, tally_objects
from nas.metrics.semantic import Counts, Values, confusion_matrix
from nas.metrics.surface import SurfaceScores, surface_distances


@dataclass(frozen=True)
class CaseScores:
    """What one case adds to the scores of a set.

    Attributes:
        case: which.
        size: (height, width) at which prediction and truth were compared.
        confusion: (K, K), of the pixels that count.
        surface: distances in pixels of the size compared at.
        calibration: (3, bins), see `nas.metrics.calibration`.
        objects: None where objects are not told apart, or not asked for.
        thresholds: of the probability of each foreground class; empty where not asked for.
    """

    case: Case
    size: tuple[int, int]
    confusion: Counts
    surface: SurfaceScores
    calibration: Values
    objects: ObjectTally | None
    thresholds: tuple[Thresholds, ...]


def score_case(
    case: Case, logits: Tensor, truth: GroundTruth, objects: bool, curves: bool
) -> CaseScores:
    """Compare the logits of a case with its truth.

    Pixels that do not count have no part in the confusion matrix, the calibration and the curves.
    For distances and objects, which need a whole image, they are background in prediction and truth
    alike. Predicted objects are the connected regions of the predicted classes.

    Args:
        case: which.
        logits: (K, H, W).
        truth: of the same height and width.
        objects: whether to compare objects, where the truth tells them apart.
        curves: whether to keep what the curves need.
    """
    classes = len(logits)
    prediction = logits.argmax(dim=0).cpu().numpy()
    probabilities = logits.softmax(dim=0).clamp_(max=1.0)
    counts, labels = truth.counts, truth.labels
    shown = np.where(counts, prediction, 0)
    confidence = probabilities.amax(dim=0).cpu().numpy()[counts]
    return CaseScores(
        case=case,
        size=(labels.shape[0], labels.shape[1]),
        confusion=confusion_matrix(prediction, labels, classes),
        surface=surface_distances(shown, np.where(counts, labels, 0), classes),
        calibration=calibration_tallies(confidence, (prediction == labels)[counts]),
        objects=_objects(shown, truth) if objects else None,
        thresholds=_thresholds(probabilities, truth) if curves else (),
    )


def _objects(prediction: np.ndarray, truth: GroundTruth) -> ObjectTally | None:
    if truth.objects is None:
        return None
    return tally_objects(instances(prediction), np.where(truth.counts, truth.objects, 0))


def _thresholds(probabilities: Tensor, truth: GroundTruth) -> tuple[Thresholds, ...]:
    counts = torch.from_numpy(truth.counts).to(probabilities.device)
    labels = truth.labels[truth.counts]
    return tuple(
        thresholds(scores[counts].cpu().numpy(), labels == index)
        for index, scores in enumerate(probabilities)
        if index
    )
