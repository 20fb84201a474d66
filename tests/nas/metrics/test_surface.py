import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import HausdorffDistanceMetric, SurfaceDistanceMetric
from numpy.typing import NDArray

from nas.metrics.surface import (
    SurfaceScores,
    assd,
    diagonal,
    hausdorff,
    hd95,
    score_surfaces,
    surface,
    surface_distances,
)

Mask = NDArray[np.bool_]
masks = arrays(bool, (9, 8))
spacings = st.tuples(st.floats(0.2, 3), st.floats(0.2, 3))
quick = settings(max_examples=25, deadline=None)


def surface_points(mask: Mask) -> list[tuple[int, int]]:
    """Pixels with a neighbour along an axis that is outside the mask or the image."""

    def inside(row: int, column: int) -> bool:
        rows, columns = mask.shape
        return 0 <= row < rows and 0 <= column < columns and bool(mask[row, column])

    steps = ((0, 1), (0, -1), (1, 0), (-1, 0))
    return [
        (row, column)
        for row, column in np.argwhere(mask)
        if not all(inside(row + down, column + right) for down, right in steps)
    ]


def directed(one: Mask, other: Mask, spacing: tuple[float, float]) -> list[float]:
    """Distances by the definition, over all pairs of points."""
    others = surface_points(other)
    return [
        min(math.hypot((r - y) * spacing[0], (c - x) * spacing[1]) for y, x in others)
        for r, c in surface_points(one)
    ]


@quick
@given(masks)
def test_surface(mask: Mask) -> None:
    assert [tuple(point) for point in np.argwhere(surface(mask))] == surface_points(mask)


@quick
@given(masks, masks, spacings)
def test_distances_by_the_definition(
    prediction: Mask, truth: Mask, spacing: tuple[float, float]
) -> None:
    assume(prediction.any() and truth.any())
    there, back = directed(prediction, truth, spacing), directed(truth, prediction, spacing)
    assert hausdorff(prediction, truth, spacing) == pytest.approx(max(there + back))
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert hd95(prediction, truth, spacing) == pytest.approx(expected)
    assert assd(prediction, truth, spacing) == pytest.approx(np.mean(there + back))


@quick
@given(masks, masks, spacings)
def test_distances_equal_those_of_monai(
    prediction: Mask, truth: Mask, spacing: tuple[float, float]
) -> None:
    assume(prediction.any() and truth.any())
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]

    def by(metric: HausdorffDistanceMetric | SurfaceDistanceMetric) -> float:
        return float(metric(*pair, spacing=spacing))

    percentile = HausdorffDistanceMetric(include_background=True, percentile=95)
    largest = HausdorffDistanceMetric(include_background=True)
    average = SurfaceDistanceMetric(include_background=True, symmetric=True)
    assert hd95(prediction, truth, spacing) == pytest.approx(by(percentile), rel=1e-5)
    assert hausdorff(prediction, truth, spacing) == pytest.approx(by(largest), rel=1e-5)
    assert assd(prediction, truth, spacing) == pytest.approx(by(average), rel=1e-5)


def test_volumes_equal_those_of_monai() -> None:
    generator = np.random.default_rng(3)
    prediction, truth = generator.random((2, 6, 7, 8)) < 0.2
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    metric = HausdorffDistanceMetric(include_background=True, percentile=95)
    expected = float(metric(*pair, spacing=(3.0, 1.0, 0.5)))
    assert hd95(prediction, truth, (3.0, 1.0, 0.5)) == pytest.approx(expected)


def line(pixels: list[int]) -> Mask:
    mask = np.zeros((1, 60), bool)
    mask[0, pixels] = True
    return mask


def test_hd95_is_not_the_percentile_of_both_directions_together() -> None:
    prediction, truth = line([0, 10]), line(list(range(11)) + [50])
    # From the prediction: 0, 0. From the truth: 0 1 2 3 4 5 4 3 2 1 0 40.
    back = [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 40]
    expected = sorted(back)[-2] + 0.45 * (40 - 5)
    assert hd95(prediction, truth) == pytest.approx(expected)
    assert hd95(truth, prediction) == pytest.approx(expected)
    assert hd95(prediction, truth) != pytest.approx(np.percentile([0, 0, *back], 95))
    assert hausdorff(prediction, truth) == 40


def test_assd_is_the_mean_of_all_distances_not_of_the_two_means() -> None:
    assert assd(line([0]), line([0, 1, 5])) == pytest.approx((0 + 0 + 1 + 5) / 4)
    assert assd(line([0]), line([0, 1, 5])) != pytest.approx((0 + (0 + 1 + 5) / 3) / 2)


def test_spacing_is_along_each_axis() -> None:
    one, other = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    one[0, 0] = other[2, 3] = True
    assert hausdorff(one, other, (2.0, 0.5)) == pytest.approx(math.hypot(4, 1.5))
    assert hausdorff(one, other, 3.0) == pytest.approx(3 * math.hypot(2, 3))


def test_missing_structures() -> None:
    empty, full = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    for measure in (hausdorff, hd95, assd):
        assert math.isnan(measure(empty, empty))
        assert measure(empty, full) == measure(full, empty) == 5
        assert measure(empty, full, (4.0, 4.0)) == 20
        assert measure(full, full) == 0


@quick
@given(arrays(np.int64, (5, 6), elements=st.integers(0, 2)), st.integers(0, 2))
def test_surface_distances_of_classes(truth: NDArray[np.int64], swapped: int) -> None:
    prediction = np.where(truth == swapped, 0, truth)
    found = surface_distances(prediction, truth, 4, 0.5)
    for index in range(4):
        pair = prediction == index, truth == index
        np.testing.assert_equal(found.hd95[index], hd95(*pair, 0.5))
        np.testing.assert_equal(found.assd[index], assd(*pair, 0.5))
        assert found.missed[index] == (pair[1].any() and not pair[0].any())
        assert found.spurious[index] == (pair[0].any() and not pair[1].any())


def test_score_surfaces_leaves_undefined_out_and_counts_the_missing() -> None:
    nan = math.nan
    first = SurfaceScores(
        hd95=np.array([1.0, 10.0, nan]),
        assd=np.array([2.0, 20.0, nan]),
        missed=np.array([False, True, False]),
        spurious=np.array([False, False, False]),
    )
    second = SurfaceScores(
        hd95=np.array([3.0, 4.0, 8.0]),
        assd=np.array([5.0, 6.0, 7.0]),
        missed=np.array([False, True, False]),
        spurious=np.array([False, False, True]),
    )
    found = score_surfaces([first, second], ("background", "a", "b"))
    assert found.images == 2
    assert found.hd95.per_class == (2.0, 7.0, 8.0)
    assert found.hd95.mean == pytest.approx((11 / 2 + 15 / 3) / 2)
    assert found.hd95.mean_foreground == pytest.approx((10 + 12 / 2) / 2)
    assert found.assd.per_class == (3.5, 13.0, 7.0)
    assert found.missed == (0, 2, 0)
    assert found.spurious == (0, 0, 1)


def test_score_surfaces_of_nothing() -> None:
    found = score_surfaces([], ("background", "a"))
    assert found.hd95.per_class == (None, None)
    assert (found.assd.mean, found.missed) == (None, (0, 0))


def test_score_surfaces_checks_the_number_of_classes() -> None:
    one = surface_distances(np.zeros((2, 2), int), np.zeros((2, 2), int), 2)
    with pytest.raises(ValueError, match="expected 3 classes, got 2"):
        score_surfaces([one], ("background", "a", "b"))


def test_diagonal_is_longer_than_any_distance_inside() -> None:
    assert diagonal((3, 4), (2.0, 2.0)) == 10
    one, other = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    one[0, 0] = other[2, 3] = True
    assert hausdorff(one, other) < diagonal((3, 4))


@pytest.mark.parametrize("spacing", [0.0, -1.0, math.inf, math.nan, (1.0,), (1.0, 1.0, 1.0)])
def test_bad_spacing(spacing: float) -> None:
    mask = np.eye(3, dtype=bool)
    with pytest.raises(ValueError, match="spacing"):
        hd95(mask, mask, spacing)


def test_bad_masks() -> None:
    mask = np.eye(3, dtype=int)
    with pytest.raises(ValueError, match="0 or 1"):
        hd95(2 * mask, mask)
    with pytest.raises(ValueError, match="differ in shape"):
        hd95(mask, mask[:2])


@pytest.mark.parametrize("bad", [np.full((2, 2), 3), np.full((2, 2), -1), np.zeros((2, 2))])
def test_bad_classes(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="labels must be"):
        surface_distances(np.zeros((2, 2), int), bad, 3)
