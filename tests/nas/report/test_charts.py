import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.report.charts import (
    BOTTOM,
    LEFT,
    LINE_HEIGHT,
    MOST_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Interval,
    Line,
    Svg,
    axis_of,
    bar_chart,
    interval_chart,
    line_chart,
    thinned,
)

HOSTILE = '</text><script>alert("1")</script>&'


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))


def points(polyline: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in polyline.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_a_line_runs_from_corner_to_corner() -> None:
    chart = line_chart("t", [Line("a", [(1, 0.0), (3, 1.0)])], shares=True)
    (line,) = elements(chart.svg, "polyline")
    assert points(line) == [(LEFT, LINE_HEIGHT - BOTTOM), (WIDTH - RIGHT, TOP)]
    assert [each.text for each in elements(chart.svg, "text")] == [
        *("0", "0.5", "1"),
        *("1", "2", "3"),
        "epoch",
    ]


def test_what_is_no_number_leaves_a_gap() -> None:
    values = [(1, 1.0), (2, 2.0), (3, None), (4, 3.0), (5, math.nan), (6, 2.0), (7, 2.5)]
    chart = line_chart("t", [Line("a", values)])
    assert [len(points(each)) for each in elements(chart.svg, "polyline")] == [2, 2]
    assert len(elements(chart.svg, "circle")) == 1
    assert "nan" not in chart.svg
    with pytest.raises(ValueError, match="finite"):
        line_chart("t", [Line("a", [(1, None), (2, math.inf)])])


def test_faint_lines_are_drawn_and_not_named() -> None:
    lines = [Line("mean", [(1, 1.0), (2, 2.0)]), Line("seed", [(1, 1.0), (2, 3.0)], faint=True)]
    chart = line_chart("t", lines)
    assert [name for name, *_ in chart.legend] == ["mean"]
    assert [each.attrib["class"] for each in elements(chart.svg, "polyline")] == ["line", "faint"]
    said = ElementTree.fromstring(chart.svg).attrib["aria-label"]
    assert said == "t. mean: from 1 to 2"


def test_an_interval_lies_where_its_numbers_are() -> None:
    rows = [Interval("a", 2.0, 0.0, 4.0, dots=(1.0,), text="2 [0, 4]", strong=True)]
    svg = interval_chart("t", rows, zero=True).svg
    (box,) = elements(svg, "rect")
    (bar,) = [each for each in elements(svg, "line") if each.attrib.get("stroke-width")]
    (zero,) = [each for each in elements(svg, "line") if each.attrib.get("class") == "zero"]
    (dot,) = elements(svg, "circle")
    left, right = float(bar.attrib["x1"]), float(bar.attrib["x2"])
    assert (left, right) == (8, WIDTH - 14)
    assert float(zero.attrib["x1"]) == left
    assert float(box.attrib["x"]) + 4 == pytest.approx((left + right) / 2)
    assert float(dot.attrib["cx"]) == pytest.approx(left + (right - left) / 4, abs=0.06)


def test_zero_is_marked_however_far_the_values_are() -> None:
    svg = interval_chart("t", [Interval("a", 3.0, 2.0, 4.0)], zero=True).svg
    (zero,) = [each for each in elements(svg, "line") if each.attrib.get("class") == "zero"]
    assert zero.attrib["x1"] == zero.attrib["x2"] == "8.0"
    assert 'class="zero"' not in interval_chart("t", [Interval("a", 3.0, 2.0, 4.0)]).svg


def test_rows_without_a_value_are_named_all_the_same() -> None:
    svg = interval_chart("t", [Interval("a", 1.0), Interval("b", None)]).svg
    assert "b: no value" in ElementTree.fromstring(svg).attrib["aria-label"]
    assert len(elements(svg, "rect")) == 1
    with pytest.raises(ValueError, match="one value"):
        interval_chart("t", [Interval("b", None)])


def test_bars_are_as_long_as_their_values() -> None:
    rows = [Bar("a", 10.0, "10 s", part=5.0), Bar("b", 2.5, "2.5 s"), Bar("c", None, "unknown")]
    widths = [float(each.attrib["width"]) for each in elements(bar_chart("t", rows).svg, "rect")]
    room = WIDTH - 16
    assert widths == [room, room / 2, room / 4, 0.5]
    with pytest.raises(ValueError, match="one row"):
        bar_chart("t", [])


def test_a_hostile_name_stays_text() -> None:
    charts = [
        line_chart(HOSTILE, [Line(HOSTILE, [(1, 1.0), (2, 2.0)])], x_label=HOSTILE),
        interval_chart(HOSTILE, [Interval(HOSTILE, 1.0, text=HOSTILE)], unit=HOSTILE),
        bar_chart(HOSTILE, [Bar(HOSTILE, 1.0, HOSTILE)]),
    ]
    for chart in charts:
        assert not elements(chart.svg, "script")
        assert HOSTILE in "".join(ElementTree.fromstring(chart.svg).itertext())


def test_a_long_label_is_cut_and_kept_as_its_title() -> None:
    label = "patchgan?" + "a" * 60
    svg = interval_chart("t", [Interval(label, 1.0)]).svg
    assert elements(svg, "title")[0].text == label
    assert f">{label[:43]}\u2026<" in svg


def test_a_drawing_is_markup_for_a_template() -> None:
    assert Svg("<svg/>").__html__() == "<svg/>"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.booleans())
def test_an_axis_has_room_for_all_values_and_few_ticks(values: list[float], whole: bool) -> None:
    axis = axis_of(values, whole)
    tolerance = 1e-6 * (axis.high - axis.low)
    assert axis.low <= min(values) + tolerance and max(values) <= axis.high + tolerance
    assert all(axis.low - tolerance <= tick <= axis.high + tolerance for tick in axis.ticks)
    assert len(axis.ticks) <= 8
    assert whole or len(axis.ticks) >= 2


def test_ticks_are_round() -> None:
    assert axis_of([0.0, 1.0]).ticks == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert axis_of([0.013, 0.087]).ticks == (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
    assert axis_of([1.0, 12.0], whole=True).ticks == (5.0, 10.0)
    assert axis_of([3.0, 3.0]).ticks == (1.0, 2.0, 3.0, 4.0, 5.0)


def test_long_lines_are_thinned_to_both_ends() -> None:
    many = [(float(k), float(k)) for k in range(1000)]
    kept = thinned(many)
    assert len(kept) == MOST_POINTS
    assert (kept[0], kept[-1]) == (many[0], many[-1])
    assert thinned(many[:5]) == many[:5]
