"""The files of an evaluation of cases made by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.areas import class_areas
from nas.case_scores import CaseScores, score_case
from nas.data.cases import Case
from nas.errors import RunError
from nas.evaluation_files import CURVE_POINTS, Shown, case_table, thinned, write_curves, write_sheet
from nas.ground_truth import GroundTruth
from nas.metrics.curves import roc_curve, thresholds

CLASSES = ("background", "cell")


def scored(name: str, prediction: list[int], truth: list[int], objects: bool = False) -> CaseScores:
    logits = torch.nn.functional.one_hot(torch.tensor([prediction]), 2).movedim(2, 0) * 2.0
    labels = np.array([truth], np.uint8)
    found = GroundTruth(labels, labels.astype(np.int32) if objects else None)
    return score_case(Case(name, 0, 0, group=f"of {name}"), logits, found, True, False)


def test_the_table_leaves_out_what_is_undefined() -> None:
    """Case a: 3 of 4 background pixels found, no object anywhere. Case b: all is right."""
    cases = [scored("a", [0, 0, 0, 1], [0] * 4), scored("b", [0] * 4, [0] * 4)]
    header, first, second = csv.reader(case_table(cases, CLASSES).splitlines())
    assert header == [
        *("case", "group", "height", "width", "mean_iou", "pixel_accuracy", "ece"),
        *("iou background", "iou cell", "dice background", "dice cell"),
        *("hd95 background", "hd95 cell", "assd background", "assd cell"),
    ]
    assert first[:6] == ["a", "of a", "1", "4", "0.375000", "0.750000"]
    assert first[7:9] == ["0.750000", "0.000000"]
    assert first[12] == f"{17**0.5:.6f}"
    assert second[4:6] == ["1.000000", "1.000000"]
    assert second[7:11] == ["1.000000", "", "1.000000", ""]
    assert second[11:] == ["0.000000", "", "0.000000", ""]


def test_the_table_has_objects_where_they_are_told_apart() -> None:
    cases = [scored("a", [1, 0, 1, 0], [1, 0, 0, 0], True), scored("b", [1, 0, 0, 0], [1, 0, 0, 0])]
    first, second = csv.DictReader(case_table(cases, CLASSES).splitlines())
    assert float(first["objects f1"]) == pytest.approx(2 / 3, abs=1e-6)
    assert float(first["objects predicted_objects"]) == 2
    assert second["objects f1"] == ""
    assert second["dice cell"] == "1.000000"


def test_long_curves_are_thinned_for_the_picture_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(50_000) < 0.1
    scores = rng.random(50_000) + truth
    curve = roc_curve(scores, truth)
    rates = thinned(*curve)
    assert len(rates[0]) <= CURVE_POINTS
    assert [float(rate[end]) for rate in rates for end in (0, -1)] == [0, 1, 0, 1]
    area, exact = (np.trapezoid(y, x) for x, y in (rates, curve))
    assert area == pytest.approx(exact, abs=1e-3)
    steps = np.diff(rates[0]) + np.diff(rates[1])
    assert steps.max() < 2.1 * 2 / CURVE_POINTS
    short = roc_curve([0.1, 0.4, 0.3], [0, 1, 0])
    assert [part.tolist() for part in thinned(*short)] == [part.tolist() for part in short]
    found = [thresholds(scores, truth)]
    write_curves({"cell": class_areas(found)}, {"cell": found}, tmp_path)
    assert (tmp_path / "roc.png").stat().st_size > 1000
    assert '"roc_auc"' in (tmp_path / "areas.json").read_text()


def test_a_class_without_a_curve_is_drawn_without_it(tmp_path: Path) -> None:
    found = [thresholds([0.1, 0.2], [0, 0])]
    write_curves({"cell": class_areas(found)}, {"cell": found}, tmp_path)
    assert (tmp_path / "roc.png").exists()


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    labels = np.full((6, 6), 255, np.uint8)
    labels[2:4] = 1
    shown = Shown("worst: a", np.zeros((2, 6, 6), np.float32), labels, np.ones((6, 6), int))
    write_sheet([shown], CLASSES, tmp_path / "cases.png")
    assert (tmp_path / "cases.png").stat().st_size > 1000
    with pytest.raises(RunError, match="Cannot write"):
        write_sheet([shown], CLASSES, tmp_path / "missing" / "cases.png")
    (tmp_path / "roc.png").mkdir()
    found = [thresholds([0.1, 0.2], [0, 1])]
    with pytest.raises(RunError, match=r"Cannot write .*roc\.png"):
        write_curves({"cell": class_areas(found)}, {"cell": found}, tmp_path)
