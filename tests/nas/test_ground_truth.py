"""Which pixels count, on labels drawn by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nas.data.batches import resize_mask
from nas.data.cases import Case
from nas.errors import DataError
from nas.ground_truth import GroundTruth, check_sizes, truth_of

CASE = Case("case 7", 0, 0)
MASK = np.array([[0, 1, 255], [2, 0, 1]], np.uint8)
OBJECTS = np.array([[0, 7, 0], [70_000, 0, 8]], np.int32)
VIEW = np.array([[True, True, True], [False, True, False]])


def reader(
    mask: np.ndarray, view: np.ndarray | None = None, objects: np.ndarray | None = None
) -> Any:
    return SimpleNamespace(
        read_mask=lambda case: mask,
        read_field_of_view=lambda case: view,
        read_instances=lambda case: objects,
    )


def test_all_pixels_count_whose_class_is_known() -> None:
    truth = truth_of(reader(MASK), CASE)
    assert truth.labels.tolist() == MASK.tolist()
    assert truth.counts.tolist() == [[True, True, False], [True, True, True]]
    assert truth.objects is None


def test_nothing_counts_outside_the_field_of_view() -> None:
    truth = truth_of(reader(MASK, VIEW, OBJECTS), CASE)
    assert truth.labels.tolist() == [[0, 1, 255], [255, 0, 255]]
    assert truth.labels.dtype == np.uint8
    assert truth.objects is not None
    assert truth.objects.tolist() == OBJECTS.tolist()
    assert MASK[1, 0] == 2


@pytest.mark.parametrize("size", [(5, 7), (1, 2), (64, 48), (2, 3)])
def test_labels_and_objects_are_resized_as_masks_are(size: tuple[int, int]) -> None:
    """Each object is where its class is, and no number appears that was not there."""
    rng = np.random.default_rng(0)
    objects = rng.choice([0, 3, 256, 2**31 - 1], (23, 19)).astype(np.int32)
    labels = (objects % 251).astype(np.uint8)
    found = GroundTruth(labels, objects).at(size)
    assert np.array_equal(found.labels, resize_mask(labels, size).numpy())
    assert found.objects is not None
    assert np.array_equal(found.objects % 251, found.labels)
    assert found.objects.dtype == np.int32
    assert set(np.unique(found.objects)) <= set(np.unique(objects))
    assert GroundTruth(labels, None).at(size).objects is None


@pytest.mark.parametrize("parts", [(VIEW[:, :2], None), (None, OBJECTS[:1])])
def test_parts_of_other_sizes_are_refused(parts: tuple[Any, Any]) -> None:
    name = "field of view 2x2" if parts[1] is None else "objects 1x3"
    with pytest.raises(DataError, match=f"mask of case 7 is 2x3 and its {name}"):
        truth_of(reader(MASK, *parts), CASE)


def test_equal_sizes_pass() -> None:
    check_sizes(CASE, "image", (2, 3), "mask", (2, 3))
