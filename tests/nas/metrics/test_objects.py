import json
import math
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from nas.metrics.objects import (
    ObjectScores,
    case_objects,
    instances,
    score_objects,
    tally_objects,
)

Labels = NDArray[np.int64]
quick = settings(max_examples=25, deadline=None)
DATA = Path(__file__).parents[4] / "shared" / "data"


def scored(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> ObjectScores:
    return score_objects([tally_objects(prediction, truth) for prediction, truth in pairs])


def flood(classes: Labels) -> list[set[tuple[int, int]]]:
    """Connected regions of equal class, with neighbours at sides and corners."""
    left = {(int(r), int(c)) for r, c in np.argwhere(classes > 0)}
    regions = []
    while left:
        region, front = set(), [left.pop()]
        while front:
            row, column = front.pop()
            region.add((row, column))
            near = {
                (r, c)
                for r, c in left
                if max(abs(r - row), abs(c - column)) == 1 and classes[r, c] == classes[row, column]
            }
            left -= near
            front += near
        regions.append(region)
    return regions


@quick
@given(arrays(np.int64, (7, 8), elements=st.integers(0, 2)), st.integers(0, 5))
def test_instances_are_connected_regions(classes: Labels, smallest: int) -> None:
    found = instances(classes, smallest)
    expected = [region for region in flood(classes) if len(region) >= smallest]
    assert sorted(np.unique(found[found > 0])) == list(range(1, len(expected) + 1))
    regions = [
        {(int(r), int(c)) for r, c in np.argwhere(found == label)}
        for label in range(1, len(expected) + 1)
    ]
    assert sorted(map(sorted, regions)) == sorted(map(sorted, expected))


def test_instances_touch_at_corners() -> None:
    assert instances(np.eye(3, dtype=bool)).max() == 1


def test_regions_of_different_classes_are_different_objects() -> None:
    assert instances([[1, 1, 2, 2]]).tolist() == [[1, 1, 2, 2]]


def test_small_regions_are_dropped_below_the_size_only() -> None:
    classes = np.array([[1, 0, 1, 1, 0, 1, 1, 1]])
    assert instances(classes, 2).tolist() == [[0, 0, 1, 1, 0, 2, 2, 2]]


def test_more_than_256_objects() -> None:
    grid = np.zeros((80, 80), np.uint8)
    grid[::2, ::2] = 1
    assert len(np.unique(instances(grid))) == 1601


def test_instances_of_an_empty_map() -> None:
    assert not instances(np.zeros((3, 3), int), 5).any()


def test_bad_class_maps() -> None:
    with pytest.raises(ValueError, match="integers or booleans"):
        instances(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="0 pixels or more"):
        instances(np.zeros((2, 2), int), -1)


def row(*runs: tuple[int, int]) -> Labels:
    """One row of pixels from (label, length)."""
    return np.array([[label for label, length in runs for _ in range(length)]])


FOUND = row((3, 6), (0, 4), (70_000, 2)), row((1, 8), (0, 4))
MISSED = row((0, 12)), row((1, 2), (0, 2), (2, 8))
SPURIOUS = row((5, 3), (0, 9)), row((0, 12))
EMPTY = row((0, 12)), row((0, 12))


def test_scores_by_hand() -> None:
    found = scored([FOUND, MISSED, SPURIOUS, EMPTY])
    diagonal = math.hypot(1, 12)
    counts = found.counts
    assert (counts.images, counts.true_objects, counts.predicted_objects) == (4, 3, 3)
    assert (counts.detected, counts.matched) == (1, 1)
    assert (counts.missed_images, counts.spurious_images, counts.empty_images) == (1, 1, 1)
    dice = 12 / 14
    nearest = 10  # of the lone predicted object, from the other end of the true one
    pooled, per_image = found.pooled, found.per_image
    assert pooled.f1 == pytest.approx(2 / 6)
    assert per_image.f1 == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert pooled.object_dice == pytest.approx((6 / 11 * dice + 8 / 18 * dice) / 2)
    assert per_image.object_dice == pytest.approx((6 / 8 * dice + dice) / 2 / 3)
    predicted = (6 * 2 + 2 * nearest + 3 * diagonal) / 11
    true = (8 * 2 + 10 * diagonal) / 18
    assert pooled.object_hausdorff == pytest.approx((predicted + true) / 2)
    first = ((6 * 2 + 2 * nearest) / 8 + 2) / 2
    assert per_image.object_hausdorff == pytest.approx((first + 2 * diagonal) / 3)
    assert pooled.aji == pytest.approx(6 / (8 + 2 + 10 + 3))
    assert per_image.aji == pytest.approx(6 / 10 / 3)
    assert pooled.pq == pytest.approx(0.75 / (1 + 2 / 2 + 2 / 2))
    assert per_image.pq == pytest.approx(0.75 / 1.5 / 3)
    assert pooled.sq == per_image.sq == pytest.approx(0.75)
    assert pooled.dq == pytest.approx(1 / 3)
    assert per_image.dq == pytest.approx(1 / 1.5 / 3)
    assert pooled.seg == pytest.approx(0.75 / 3)
    assert per_image.seg == pytest.approx(0.75 / 2)


def test_prediction_comes_first() -> None:
    counts = scored([SPURIOUS]).counts
    assert (counts.missed_images, counts.spurious_images) == (0, 1)
    counts = scored([SPURIOUS[::-1]]).counts
    assert (counts.missed_images, counts.spurious_images) == (1, 0)
    assert scored([SPURIOUS]).pooled.seg is None
    assert scored([SPURIOUS[::-1]]).pooled.seg == 0


def test_detected_without_a_match() -> None:
    """Covered in full, but by an object three times as large."""
    pair = row((1, 9)), row((1, 3), (0, 6))
    counts = scored([pair]).counts
    assert (counts.detected, counts.matched) == (1, 0)
    case = case_objects(tally_objects(*pair))
    assert (case["detected"], case["matched"]) == (1, 0)


def test_one_image_is_pooled_as_it_is_per_image_and_as_a_case() -> None:
    for pair in (FOUND, MISSED, SPURIOUS, EMPTY):
        scores = scored([pair])
        assert scores.pooled == scores.per_image
        case = case_objects(tally_objects(*pair))
        for name, value in msgspec.structs.asdict(scores.pooled).items():
            assert case[name] == pytest.approx(math.nan if value is None else value, nan_ok=True)
        assert case["true_objects"] == scores.counts.true_objects
        assert case["predicted_objects"] == scores.counts.predicted_objects
        assert case["detected"] == scores.counts.detected
        assert case["matched"] == scores.counts.matched


def test_no_images() -> None:
    found = scored([])
    assert found.counts.images == 0
    assert set(msgspec.structs.asdict(found.pooled).values()) == {None}
    assert found.pooled == found.per_image


def test_images_are_taken_one_by_one() -> None:
    assert scored([FOUND, FOUND]).counts.images == 2


def test_labels_may_be_renamed() -> None:
    generator = np.random.default_rng(2)
    pairs = [tuple(instances(generator.random((2, 30, 30)) < 0.3)) for _ in range(3)]
    names = generator.permutation(np.arange(1, 2**31, 2**21))

    def renamed(image: Labels) -> Labels:
        return np.append(0, np.sort(names[: image.max()]))[image]

    assert scored([(renamed(a), renamed(b)) for a, b in pairs]) == scored(pairs)


def test_scores_are_written_as_json() -> None:
    scores = scored([FOUND, EMPTY])
    text = msgspec.json.encode(scores)
    assert json.loads(text)["counts"]["empty_images"] == 1
    assert msgspec.json.decode(text, type=ObjectScores) == scores


def test_cells_against_their_own_truth() -> None:
    """Real masks: touching cells are merged by connected regions, which only object scores see."""
    folder = DATA / "usiigaci_phase_contrast"
    if not folder.is_dir():
        pytest.skip("the real images are not here")
    names = sorted(path.name for path in (folder / "instances").glob("*.png"))[:2]
    truths = [
        np.asarray(Image.open(folder / "instances" / name)).astype(np.int64) for name in names
    ]
    perfect = scored([(truth, truth) for truth in truths])
    assert perfect.counts.true_objects > 20
    assert perfect.pooled.object_hausdorff == 0
    measures = msgspec.structs.asdict(perfect.pooled) | {"object_hausdorff": 1.0}
    assert set(measures.values()) == {1.0}
    merged = scored([(instances(truth > 0), truth) for truth in truths])
    assert merged.counts.predicted_objects < merged.counts.true_objects
    assert merged.pooled.aji is not None and merged.pooled.aji < 1
