"""Scores of one case against the measures themselves, on what counts alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, roc_auc_score

from nas.case_scores import CaseScores, score_case
from nas.data.cases import Case
from nas.ground_truth import GroundTruth
from nas.metrics.calibration import calibration_tallies
from nas.metrics.curves import areas_of
from nas.metrics.objects import case_objects, tally_objects
from nas.metrics.surface import assd, hd95

CASE = Case("a", 0, 0)
RNG = np.random.default_rng(0)
LOGITS = torch.from_numpy(RNG.normal(size=(3, 12, 10)) * 2).float()
TRUTH = RNG.integers(0, 3, (12, 10)).astype(np.uint8)
COUNTS = np.ones((12, 10), bool)
COUNTS[:, :4] = False
PREDICTION = LOGITS.argmax(0).numpy()
PROBABILITIES = LOGITS.softmax(0).numpy()


def scored(labels: np.ndarray, objects: np.ndarray | None = None) -> CaseScores:
    return score_case(CASE, LOGITS, GroundTruth(labels, objects), True, True)


def test_pixels_that_do_not_count_are_nowhere() -> None:
    """Equal to the measures of what is left when these pixels are cut out by hand."""
    found = scored(np.where(COUNTS, TRUTH, 255))
    truth, prediction = TRUTH[COUNTS], PREDICTION[COUNTS]
    assert np.array_equal(found.confusion, confusion_matrix(truth, prediction, labels=range(3)))
    confidence = PROBABILITIES.max(0)[COUNTS]
    assert found.calibration == pytest.approx(calibration_tallies(confidence, prediction == truth))
    for index, thresholds in enumerate(found.thresholds, start=1):
        expected = roc_auc_score(truth == index, PROBABILITIES[index][COUNTS])
        assert areas_of(thresholds).roc_auc == pytest.approx(expected)
    assert len(found.thresholds) == 2
    assert (found.case, found.size) == (CASE, (12, 10))


def test_distances_see_background_where_nothing_counts() -> None:
    found = scored(np.where(COUNTS, TRUTH, 255))
    for index in range(3):
        pair = [np.where(COUNTS, each, 0) == index for each in (PREDICTION, TRUTH)]
        assert found.surface.hd95[index] == pytest.approx(hd95(*pair))
        assert found.surface.assd[index] == pytest.approx(assd(*pair))


def test_objects_are_connected_regions_of_what_counts() -> None:
    """Two predicted squares, one across the border of what counts; a true one beyond it is gone."""
    prediction, objects = np.zeros((8, 8), int), np.zeros((8, 8), np.int32)
    prediction[1:3, 1:4] = 1
    prediction[5:7, 5:7] = 1
    objects[1:3, 1:3] = 300
    objects[5:7, 0] = 4
    labels = (objects > 0).astype(np.uint8)
    labels[:, :2] = 255
    logits = torch.nn.functional.one_hot(torch.from_numpy(prediction), 2).movedim(2, 0).float()
    found = score_case(CASE, logits, GroundTruth(labels, objects), True, False)
    predicted, true = np.zeros((8, 8), int), np.zeros((8, 8), int)
    predicted[1:3, 2:4] = 1
    predicted[5:7, 5:7] = 2
    true[1:3, 2] = 300
    assert found.objects is not None
    expected = case_objects(tally_objects(predicted, true))
    assert case_objects(found.objects) == pytest.approx(expected, nan_ok=True)
    assert found.objects.objects.tolist() == [2, 1]


def test_objects_and_curves_on_demand() -> None:
    truth = GroundTruth(TRUTH, TRUTH.astype(np.int32))
    found = score_case(CASE, LOGITS, truth, False, False)
    assert found.objects is None
    assert found.thresholds == ()
    assert scored(TRUTH).objects is None


def test_a_case_in_which_nothing_counts_adds_nothing() -> None:
    found = scored(np.full((12, 10), 255, np.uint8))
    assert not found.confusion.any()
    assert not found.calibration.any()
    assert np.isnan(found.surface.hd95[1:]).all()
    assert all(len(each.scores) == 0 for each in found.thresholds)
