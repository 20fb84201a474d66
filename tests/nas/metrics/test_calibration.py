"""The calibration error by its formula, pixel by pixel, and for answers whose error is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.metrics.calibration import calibration_tallies, expected_calibration_error

PIXELS = st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=60)


def by_definition(pixels: list[tuple[float, bool]], bins: int) -> float:
    total = 0.0
    for number in range(1, bins + 1):
        inside = [
            (value, right)
            for value, right in pixels
            if (number - 1) / bins < value <= number / bins or (number == 1 and value == 0)
        ]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(value for value, _ in inside) / len(inside)
            total += len(inside) / len(pixels) * abs(accuracy - confidence)
    return total


@given(pixels=PIXELS, bins=st.sampled_from([1, 4, 15]))
@settings(max_examples=25, deadline=None)
def test_is_the_formula(pixels: list[tuple[int, bool]], bins: int) -> None:
    """Values of 60ths lie on the edges of 4 and of 15 bins."""
    shares = [(value / 60, right) for value, right in pixels]
    found = expected_calibration_error(calibration_tallies(*zip(*shares, strict=True), bins))
    assert float(found) == pytest.approx(by_definition(shares, bins))


def test_by_hand() -> None:
    """Bins of a third: 0.4 and 0.6 with one right of two, 0.9 wrong: (2 |1/2 - 1/2| + 0.9) / 3."""
    tallies = calibration_tallies([[0.4, 0.6, 0.9]], [[True, False, False]], bins=3)
    assert tallies.tolist() == [[0, 2, 1], [0, 1.0, 0.9], [0, 1, 0]]
    assert float(expected_calibration_error(tallies)) == pytest.approx(0.3)


def test_answers_that_are_right_as_often_as_they_say_have_no_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 200_000)
    honest = expected_calibration_error(
        calibration_tallies(confidence, rng.random(200_000) < confidence)
    )
    boastful = calibration_tallies(confidence, rng.random(200_000) < confidence - 0.2)
    assert float(honest) < 0.01
    assert float(expected_calibration_error(boastful)) == pytest.approx(0.2, abs=0.01)


def test_images_are_pooled_by_their_sums() -> None:
    rng = np.random.default_rng(1)
    confidence, right = rng.random((2, 50)), rng.random((2, 50)) < 0.5
    both = calibration_tallies(confidence, right)
    each = np.stack([calibration_tallies(*image) for image in zip(confidence, right, strict=True)])
    assert both.shape == (3, 15)
    assert each.sum(0) == pytest.approx(both)
    assert expected_calibration_error(each).shape == (2,)


def test_nothing_has_no_error() -> None:
    assert math.isnan(expected_calibration_error(calibration_tallies([], [])))


@pytest.mark.parametrize(
    ("confidence", "words"),
    [([0.1, 1.1], "in .0, 1."), ([0.1, math.nan], "in .0, 1."), ([0.1], "differ in shape")],
)
def test_refuses(confidence: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        calibration_tallies(confidence, [True, False])
