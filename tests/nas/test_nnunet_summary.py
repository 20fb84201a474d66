"""nnU-Net's summary of two cases, counted by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from nas.data.cases import Case, Slice
from nas.metrics.semantic import confusion_matrices
from nas.nnunet_summary import summary

TRUTHS = [[[0, 0, 1, 1, 1, 0]], [[0, 0, 0, 0, 0, 255]]]
PREDICTIONS = [[[0, 1, 1, 1, 0, 2]], [[0, 0, 0, 0, 0, 1]]]
CASES = [
    Case("a", Path("images/a.png"), Path("masks/a.png")),
    Case("b", Path("v.nii.gz"), Slice(Path("labels/v.nii.gz"), 4)),
]
FOUND = summary(CASES, confusion_matrices(PREDICTIONS, TRUTHS, 4))


def test_the_counts_of_each_case() -> None:
    first, second = (case["metrics"] for case in FOUND["metric_per_case"])
    assert list(first) == ["1", "2", "3"]
    assert first["1"] == {
        **{"TP": 2, "FP": 1, "FN": 1, "TN": 2, "n_pred": 3, "n_ref": 3},
        "Dice": pytest.approx(2 / 3),
        "IoU": pytest.approx(1 / 2),
    }
    assert first["2"] == {
        **{"TP": 0, "FP": 1, "FN": 0, "TN": 5, "n_pred": 1, "n_ref": 0},
        **{"Dice": 0.0, "IoU": 0.0},
    }
    assert (second["1"]["TN"], second["1"]["n_pred"]) == (5, 0)


def test_what_is_in_neither_is_nan_and_left_out_of_the_mean_over_cases_alone() -> None:
    second = FOUND["metric_per_case"][1]["metrics"]
    assert math.isnan(second["1"]["Dice"])
    assert FOUND["mean"]["1"]["Dice"] == pytest.approx(2 / 3)
    assert FOUND["mean"]["1"]["TP"] == 1
    assert FOUND["mean"]["2"]["IoU"] == 0
    assert math.isnan(FOUND["mean"]["3"]["IoU"])
    assert math.isnan(FOUND["foreground_mean"]["IoU"])
    assert FOUND["foreground_mean"]["FP"] == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_classes_weigh_alike_in_the_foreground_mean() -> None:
    found = summary(CASES, np.array([[[5, 0, 0], [0, 2, 2], [0, 0, 1]]] * 2))
    assert found["foreground_mean"]["IoU"] == pytest.approx((2 / 4 + 1 / 3) / 2)


def test_files_and_order() -> None:
    assert list(FOUND) == sorted(FOUND)
    first, second = FOUND["metric_per_case"]
    assert first["reference_file"] == "masks/a.png"
    assert first["prediction_file"] == "a.png"
    assert second["reference_file"] == "labels/v.nii.gz (slice 4)"
    several = Case("c", 3, (Path("one.png"), Path("two.png")))
    (found,) = summary([several], np.ones((1, 2, 2), int))["metric_per_case"]
    assert found["reference_file"] == "one.png, two.png"


def test_json_of_python_reads_it() -> None:
    read = json.loads(json.dumps(FOUND))
    assert read["metric_per_case"][0]["metrics"]["1"]["TP"] == 2
    assert math.isnan(read["metric_per_case"][0]["metrics"]["3"]["Dice"])
