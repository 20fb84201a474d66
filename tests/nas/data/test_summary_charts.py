from xml.etree import ElementTree

import numpy as np
import pytest

from nas.data.summary_charts import bars, curves, histogram, histogram_of_magnitudes, number


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def heights(svg: str) -> np.ndarray:
    return np.array([float(bar.get("height", "")) for bar in parsed(svg).iter("rect")])


def labels(svg: str) -> list[str]:
    return [text.text or "" for text in parsed(svg).iter("text")]


def test_bars_stand_on_one_line_and_are_as_high_as_they_are_large() -> None:
    svg = bars("Title", (1, 0, 4, 2), ("first", "last"), "red")
    assert heights(svg) / heights(svg).max() == pytest.approx((0.25, 0, 1, 0.5), abs=1e-3)
    rects = list(parsed(svg).iter("rect"))
    feet = {float(bar.get("y", "")) + float(bar.get("height", "")) for bar in rects}
    assert max(feet) - min(feet) < 0.11
    left = [float(bar.get("x", "")) for bar in rects]
    assert np.diff(left) == pytest.approx(np.diff(left)[0] * np.ones(3), abs=0.11)
    assert labels(svg) == ["Title", "first", "last"]


def test_names_are_escaped() -> None:
    svg = bars('<b> & "c"', (1,), ("<i>",), "red")
    assert labels(svg) == ['<b> & "c"', "<i>"]
    assert parsed(svg).get("aria-label") == '<b> & "c"'


def test_bars_of_nothing_lie_flat() -> None:
    assert heights(bars("t", (0, 0), ("a",), "red")).tolist() == [0, 0]
    for draw in (lambda: bars("t", (), (), "red"), lambda: histogram("t", (), "", "red")):
        with pytest.raises(ValueError, match="one"):
            draw()


def test_a_histogram_counts() -> None:
    values = np.random.default_rng(0).normal(50, 9, 400)
    svg = histogram("t", values, "%", "red")
    counts = np.histogram(values, bins=24)[0]
    assert heights(svg) / heights(svg).max() == pytest.approx(counts / counts.max(), abs=1e-2)
    assert labels(svg)[1:] == [f"{values.min():.2g} %", f"{values.max():.2g} %"]


def test_magnitudes_stand_on_a_logarithmic_axis() -> None:
    svg = histogram_of_magnitudes("t", [1, 10, 100, 1000, 10000], "px", "red")
    assert np.flatnonzero(heights(svg)).tolist() == [0, 6, 12, 18, 23]
    assert labels(svg)[1:] == ["1 px", "100 px", "10000 px"]
    with pytest.raises(ValueError, match="above 0"):
        histogram_of_magnitudes("t", [0, 1], "px", "red")


def test_a_curve_goes_through_its_points() -> None:
    svg = curves("t", {"red": (0, 1, 2), "blue": (4, 0, 4)}, ("0", "1"))
    lines = {line.get("stroke"): line.get("points", "") for line in parsed(svg).iter("polyline")}
    points = {
        colour: np.array([each.split(",") for each in text.split()], float)
        for colour, text in lines.items()
    }
    assert points["red"][:, 0] == pytest.approx(points["blue"][:, 0])
    floor, top = points["blue"][1, 1], points["blue"][0, 1]
    assert (floor - points["red"][:, 1]) / (floor - top) == pytest.approx((0, 0.25, 0.5), abs=0.01)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3.0, "3"), (0.04567, "0.046"), (1234.5, "1234"), (2.5, "2.5")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
    assert number(value, "px") == f"{text} px"
