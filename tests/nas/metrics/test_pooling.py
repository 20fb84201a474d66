import math

import numpy as np
import pytest

from nas.metrics.pooling import mean_per_image, pooled, ratio


def share(tallies: np.ndarray) -> np.ndarray:
    return ratio(np.asarray(tallies)[..., 0], np.asarray(tallies)[..., 1])


def test_pooled_and_mean_per_image_differ() -> None:
    tallies = [[1, 1], [0, 9], [0, 0]]
    assert pooled(share, tallies) == pytest.approx(1 / 10)
    assert mean_per_image(share, tallies) == pytest.approx(1 / 2)


def test_pooled_adds_the_tallies() -> None:
    def total(tallies: np.ndarray) -> np.ndarray:
        return np.asarray(tallies).sum(-1)

    assert pooled(total, [[1, 2], [3, 4]]) == 10
    assert mean_per_image(total, [[1, 2], [3, 4]]) == 5


def test_undefined_everywhere() -> None:
    assert math.isnan(pooled(share, [[0, 0]]))
    assert math.isnan(mean_per_image(share, [[0, 0]]))
    assert math.isnan(mean_per_image(share, np.zeros((0, 2))))


def test_ratio() -> None:
    np.testing.assert_array_equal(ratio([1, 0, 3], [2, 0, 0]), [0.5, np.nan, np.nan])
