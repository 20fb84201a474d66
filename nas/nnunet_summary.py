"""Scores of cases in the form of nnU-Net's summary.json.

Read in nnU-Net 2, nnunetv2/evaluation/evaluate_predictions.py: for each case and each class but the
background Dice, IoU, the four counts of pixels, and the numbers of predicted and true pixels; their
means over the cases; and the means of these over the classes. Dice and IoU of a class that is in
neither truth nor prediction are NaN, which is written as such though JSON has no word for it; the
mean over the cases leaves them out, the mean over the classes does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.data.cases import Case, Slice, Source
from nas.metrics.semantic import Counts, dice, iou, mean_defined

Metrics = dict[str, float]


def summary(cases: Sequence[Case], confusions: Counts) -> dict[str, Any]:
    """The content of summary.json.

    ``reference_file`` is the file of the mask, with the number of the slice where it is one;
    ``prediction_file`` is the name of the case with .png, under which nothing is written here.

    Args:
        cases: N, one or more.
        confusions: (N, K, K), one matrix for each case.
    """
    metrics = [_metrics(confusion) for confusion in confusions]
    mean = {label: _mean([each[label] for each in metrics]) for label in metrics[0]}
    names = next(iter(mean.values()), {})
    foreground = {
        name: float(np.mean([values[name] for values in mean.values()])) for name in names
    }
    per_case = [
        {
            "metrics": found,
            "prediction_file": f"{case.id}.png",
            "reference_file": _name(case.mask),
        }
        for case, found in zip(cases, metrics, strict=True)
    ]
    return {"foreground_mean": foreground, "mean": mean, "metric_per_case": per_case}


def _metrics(confusion: Counts) -> dict[str, Metrics]:
    """By the label of each class but the background."""
    dices, ious = dice(confusion), iou(confusion)
    true, predicted = confusion.sum(1), confusion.sum(0)
    hits = np.diagonal(confusion)
    return {
        str(label): {
            "Dice": float(dices[label]),
            "FN": int(true[label] - hits[label]),
            "FP": int(predicted[label] - hits[label]),
            "IoU": float(ious[label]),
            "TN": int(confusion.sum() - true[label] - predicted[label] + hits[label]),
            "TP": int(hits[label]),
            "n_pred": int(predicted[label]),
            "n_ref": int(true[label]),
        }
        for label in range(1, len(confusion))
    }


def _mean(cases: Sequence[Mapping[str, float]]) -> Metrics:
    return {name: float(mean_defined([each[name] for each in cases])) for name in cases[0]}


def _name(source: Source) -> str:
    if isinstance(source, Slice):
        return f"{source.path} (slice {source.number})"
    if isinstance(source, tuple):
        return ", ".join(_name(part) for part in source)
    return str(source)
