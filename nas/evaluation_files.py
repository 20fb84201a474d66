"""The files of an evaluation: tables for programs, and pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from nas import nnunet_summary, pictures, plots
from nas.areas import Areas
from nas.case_scores import CaseScores
from nas.illustration import case_row
from nas.metrics.calibration import expected_calibration_error
from nas.metrics.curves import Thresholds, merged, roc_curve_of
from nas.metrics.objects import case_objects
from nas.metrics.semantic import Scores, Values, dice, iou, mean_defined, pixel_accuracy
from nas.runs import atomic_write, unwritable

CURVE_POINTS = 1000


class Shown(NamedTuple):
    """A case to draw: image (C, H, W) in [0, 1], truth and prediction (H, W)."""

    title: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


class Confusions(Struct, frozen=True, kw_only=True):
    """The confusion matrix of each case, from which pooled scores of any of them can be had.

    Attributes:
        classes: K names, background first.
        cases: N ids.
        groups: of each case; None where it stands for itself.
        matrices: (N, K, K) counts of pixels, rows for the truth, columns for the prediction.
    """

    classes: tuple[str, ...]
    cases: tuple[str, ...]
    groups: tuple[str | None, ...]
    matrices: list[list[list[int]]]

    @classmethod
    def of(cls, cases: Sequence[CaseScores], classes: Sequence[str]) -> Confusions:
        """Those of some scored cases."""
        return cls(
            classes=tuple(classes),
            cases=tuple(each.case.id for each in cases),
            groups=tuple(each.case.group for each in cases),
            matrices=[each.confusion.tolist() for each in cases],
        )


def write_scores(
    scores: Scores, cases: Sequence[CaseScores], classes: Sequence[str], out: Path
) -> None:
    """scores.json, cases.csv, confusions.json and summary.json.

    Raises:
        RunError: a file cannot be written.
    """
    confusions = np.stack([each.confusion for each in cases])
    summary = nnunet_summary.summary([each.case for each in cases], confusions)
    _write_json(out / "scores.json", scores)
    with atomic_write(out / "confusions.json") as stream:
        stream.write(msgspec.json.encode(Confusions.of(cases, classes)))
    with atomic_write(out / "cases.csv") as stream:
        stream.write(case_table(cases, classes).encode())
    with atomic_write(out / "summary.json") as stream:
        stream.write(json.dumps(summary, indent=4).encode())


def case_table(cases: Sequence[CaseScores], classes: Sequence[str]) -> str:
    """CSV with a row per case, in the order of the cases.

    The case, its group, height and width in pixels at which it was compared; mean IoU, pixel
    accuracy and ECE; IoU, Dice, HD95 and ASSD (pixels) of every class; and, where objects were
    compared, their measures. What is undefined, such as a score of a class that is in neither truth
    nor prediction, is empty.
    """
    rows = [dict(_row(each, classes)) for each in cases]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(each: CaseScores, classes: Sequence[str]) -> Iterator[tuple[str, object]]:
    ious = iou(each.confusion)
    yield "case", each.case.id
    yield "group", each.case.group or ""
    yield from zip(("height", "width"), each.size, strict=True)
    yield "mean_iou", _text(mean_defined(ious))
    yield "pixel_accuracy", _text(pixel_accuracy(each.confusion))
    yield "ece", _text(expected_calibration_error(each.calibration))
    measures: dict[str, Values] = {
        "iou": ious,
        "dice": dice(each.confusion),
        "hd95": each.surface.hd95,
        "assd": each.surface.assd,
    }
    for measure, values in measures.items():
        for name, value in zip(classes, values, strict=True):
            yield f"{measure} {name}", _text(value)
    if each.objects is not None:
        for measure, value in case_objects(each.objects).items():
            yield f"objects {measure}", _text(value)


def _text(value: float | Values) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"


def write_curves(
    areas: Mapping[str, Areas], thresholds: Mapping[str, Sequence[Thresholds]], out: Path
) -> None:
    """areas.json, and roc.png with the pooled curve of each class.

    Args:
        areas: by the name of the class.
        thresholds: of each image, by the name of the class.
        out: folder of the files.

    Raises:
        RunError: a file cannot be written.
    """
    _write_json(out / "areas.json", areas)
    curves = {name: thinned(*roc_curve_of(merged(each))) for name, each in thresholds.items()}
    try:
        plots.save(plots.roc_curves(curves), out / "roc.png")
    except OSError as error:
        raise unwritable(out / "roc.png", error) from error


def thinned(false_positive_rate: Values, true_positive_rate: Values) -> tuple[Values, Values]:
    """About `CURVE_POINTS` points of a curve, evenly along its way, with both ends."""
    way = false_positive_rate + true_positive_rate
    marks = np.searchsorted(way, np.linspace(0, 2, CURVE_POINTS))
    kept = np.unique(marks.clip(max=len(way) - 1))
    return false_positive_rate[kept], true_positive_rate[kept]


def write_sheet(shown: Sequence[Shown], classes: Sequence[str], path: Path) -> None:
    """Image, truth and prediction of some cases under each other.

    Raises:
        RunError: the file cannot be written.
    """
    rows = [
        case_row(each.title, each.image, each.truth, each.prediction, len(classes))
        for each in shown
    ]
    try:
        pictures.write_png(pictures.sheet(rows, classes), path)
    except OSError as error:
        raise unwritable(path, error) from error


def _write_json(path: Path, content: object) -> None:
    with atomic_write(path) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(content), indent=2))
