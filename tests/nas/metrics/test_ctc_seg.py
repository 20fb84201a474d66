import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nas.metrics.ctc_seg import seg, seg_sums
from nas.metrics.overlaps import find_overlaps
from nas.metrics.pooling import mean_per_image, pooled

Labels = NDArray[np.int64]
labels = arrays(np.int64, (5, 6), elements=st.sampled_from([0, 1, 2, 300]))


def moved(image: Labels, changes: Labels) -> Labels:
    """The image with the first pixels replaced, so that matches are frequent."""
    return np.concatenate([changes[:2], image[2:]])


def seg_of(prediction: Labels, truth: Labels) -> float:
    return float(seg(seg_sums(find_overlaps(prediction, truth))))


def by_definition(prediction: Labels, truth: Labels) -> float:
    values = []
    for true in [truth == label for label in np.unique(truth) if label]:
        matches = [
            (true & one).sum() / (true | one).sum()
            for one in [prediction == label for label in np.unique(prediction) if label]
            if (true & one).sum() / true.sum() > 0.5
        ]
        values.append(sum(matches))
    return float(np.mean(values)) if values else math.nan


@settings(max_examples=25, deadline=None)
@given(labels, labels)
def test_by_the_definition(truth: Labels, changes: Labels) -> None:
    prediction = moved(truth, changes)
    np.testing.assert_allclose(seg_of(prediction, truth), by_definition(prediction, truth))


def test_equal_those_of_the_challenge(tmp_path: Path) -> None:
    """A sequence of random images, of which each has background, as py-ctcmetrics expects."""
    representations = pytest.importorskip("ctc_metrics.utils.representations")
    technical = pytest.importorskip("ctc_metrics.metrics.technical.seg")
    tifffile = pytest.importorskip("tifffile")
    generator = np.random.default_rng(5)
    sums, names, values = [], [], []
    for index in range(20):
        truth = np.repeat(generator.integers(0, 9, (6, 6)), 4, axis=0).astype(np.uint16)
        prediction = np.where(generator.random(truth.shape) < 0.3, 0, truth).astype(np.uint16)
        prediction[generator.random(truth.shape) < 0.2] = generator.integers(1, 12)
        truth[0], prediction[0] = 0, 0
        files = tmp_path / f"truth{index}.tif", tmp_path / f"result{index}.tif"
        tifffile.imwrite(files[0], truth)
        tifffile.imwrite(files[1], prediction)
        true_labels, _, _, _, overlaps = representations.match(*map(str, files))
        names.append(true_labels)
        values.append(overlaps)
        sums.append(seg_sums(find_overlaps(prediction, truth)))
        assert float(seg(sums[-1])) == pytest.approx(technical.seg([true_labels], [overlaps]))
    found = pooled(seg, sums)
    assert 0.1 < found < 0.9
    assert found == pytest.approx(technical.seg(names, values))


def row(*runs: tuple[int, int]) -> Labels:
    """One row of pixels from (label, length)."""
    return np.array([[label for label, length in runs for _ in range(length)]])


def test_covering_half_is_no_match() -> None:
    truth = row((1, 8), (0, 2))
    assert seg_of(row((1, 4), (0, 6)), truth) == 0
    assert seg_of(row((1, 5), (0, 5)), truth) == pytest.approx(5 / 8)


def test_the_match_covers_the_true_object_whatever_its_own_size() -> None:
    """A pair with IoU below one half counts."""
    assert seg_of(row((1, 10)), row((1, 3), (0, 7))) == pytest.approx(3 / 10)


def test_false_positives_cost_nothing() -> None:
    truth = row((1, 4), (0, 9))
    assert seg_of(row((1, 4), (0, 1), (2, 5), (3, 3)), truth) == 1


def test_the_background_is_no_object() -> None:
    """If it were, the first would be 1 of 2 and the second 0 of 0."""
    assert seg_of(row((0, 9)), row((1, 1), (0, 8))) == 0
    assert math.isnan(seg_of(row((1, 9)), row((0, 9))))


def test_large_labels() -> None:
    truth = np.array([[65_535, 65_535, 0, 2**31, 2**31]])
    assert seg_of(np.array([[255, 255, 0, 511, 0]]), truth) == pytest.approx(1 / 2)


def test_pooled_over_true_objects_is_not_the_mean_over_images() -> None:
    full = seg_sums(find_overlaps(row((1, 2)), row((1, 2))))
    none = seg_sums(find_overlaps(row((0, 6)), row((1, 2), (2, 2), (3, 2))))
    assert pooled(seg, [full, none]) == pytest.approx(1 / 4)
    assert mean_per_image(seg, [full, none]) == pytest.approx(1 / 2)
