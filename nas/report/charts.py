"""Charts as inline SVG, drawn without a library: lines over an axis, intervals, bars.

Text and axes take the colour of the page (``currentColor``), so that a chart can be read on light
and on dark ground. Numbers that are not finite leave a gap and are never drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 360
LINE_HEIGHT = 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 34
ROW = 38
"""Height of a row of intervals or bars: a line of text, and below it what is drawn."""
MOST_POINTS = 120
"""Points of a line that are drawn; of longer ones, so many evenly spread."""
LONGEST_LABEL = 44
MOST_DIGITS = 6
"""Characters of a tick; where they would be more, ticks are rounded."""
SAME = 1e-9
"""Values that differ by less, relative to their size, are one value to an axis."""
ACCENT = "#0072B2"


class Svg(str):
    """Text of an ``<svg>`` element, everything in it escaped; a template writes it as it is."""

    def __html__(self) -> str:
        return self


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: in the legend.
        points: (x, y) in order of x; a y that is None or not finite leaves a gap.
        colour: as CSS writes it.
        dashes: lengths of dashes and gaps as SVG writes them; empty for none.
        faint: drawn thin and pale, such as a single seed beside a mean; not in the legend.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    colour: str = ACCENT
    dashes: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing with what stands around it.

    Attributes:
        title: above it.
        svg: the drawing.
        legend: (name, colour, dashes) of each line; empty where the drawing names its parts.
    """

    title: str
    svg: Svg
    legend: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True)
class Interval:
    """A row of an interval plot.

    Attributes:
        label: of the row.
        value: the estimate; None where there is none.
        low, high: ends of its interval; None where there is none.
        dots: single values behind it, such as those of seeds.
        text: the numbers in words, at the right.
        strong: drawn in the accent colour, others in that of the text.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    dots: Sequence[float] = ()
    text: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart: ``value`` >= 0 or None, the ``part`` of it in a darker shade."""

    label: str
    value: float | None
    text: str
    part: float = 0.0


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str = "epoch",
    shares: bool = False,
    top: float | None = None,
    height: int = LINE_HEIGHT,
) -> Chart:
    """Lines over one axis.

    Args:
        title: of the chart; with the ends of each line it is what a screen reader says.
        lines: one or more, with one finite point or more among them.
        x_label: below the axis.
        shares: whether values are in [0, 1] and the axis shows just that.
        top: of the values that the axis has room for, from 0 on, so that several charts can have
            one scale; by default that of these lines.
        height: of the drawing.

    Raises:
        ValueError: there is no finite point.
    """
    finite = [
        (x, y) for line in lines for x, y in line.points if y is not None and math.isfinite(y)
    ]
    if not finite:
        raise ValueError("a chart needs one finite point or more")
    xs = axis_of([x for x, _ in finite], whole=True)
    ys = Axis(0.0, 1.0, (0.0, 0.5, 1.0)) if shares else axis_of([y for _, y in finite])
    if top is not None:
        ys = axis_of([0.0, top])
    place = _Place(xs, ys, LEFT, WIDTH - RIGHT, height - BOTTOM, TOP)
    shapes = [*_grid(place), *(_polyline(line, place) for line in lines)]
    shapes.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{height - 4}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    said = f"{title}. " + "; ".join(filter(None, map(_in_words, lines)))
    legend = [(line.name, line.colour, line.dashes) for line in lines if not line.faint]
    return Chart(title, _svg(WIDTH, height, said, shapes), legend)


def interval_chart(
    title: str, rows: Sequence[Interval], *, zero: bool = False, unit: str = ""
) -> Chart:
    """An estimate and its interval per row, on one axis.

    Args:
        title: of the chart.
        rows: one or more, with one value or more among them.
        zero: whether to mark 0, such as of a difference.
        unit: below the axis.

    Raises:
        ValueError: no row has a value.
    """
    values = [each for row in rows for each in _numbers_of(row)]
    if not values:
        raise ValueError("a chart of intervals needs one value or more")
    axis = axis_of([*values, 0.0] if zero else values)
    bottom = TOP + ROW * len(rows)
    place = _Place(axis, Axis(0, 1, ()), 8, WIDTH - 14, bottom, TOP)
    shapes = list(_vertical_grid(place, unit))
    if zero:
        x = place.x(0.0)
        shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" class="zero"/>')
    for number, row in enumerate(rows):
        shapes += _interval(row, place, TOP + ROW * number)
    said = f"{title}. " + "; ".join(f"{row.label}: {row.text or 'no value'}" for row in rows)
    return Chart(title, _svg(WIDTH, bottom + BOTTOM, said, shapes))


def bar_chart(title: str, rows: Sequence[Bar]) -> Chart:
    """A bar per row from 0 on.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("a bar chart needs one row or more")
    longest = max((row.value or 0.0 for row in rows), default=0.0) or 1.0
    room = WIDTH - 16
    shapes: list[str] = []
    for number, row in enumerate(rows):
        top = TOP + ROW * number
        shapes += _row_text(row.label, row.text, top)
        width = room * (row.value or 0.0) / longest
        shapes.append(_rectangle(8, top + 18, width, 10, 0.45))
        if row.part:
            shapes.append(_rectangle(8, top + 18, room * row.part / longest, 10, 1.0))
    said = f"{title}. " + "; ".join(f"{row.label}: {row.text}" for row in rows)
    return Chart(title, _svg(WIDTH, TOP + ROW * len(rows), said, shapes))


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high`` with numbers at ``ticks``."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def text(self, tick: float) -> str:
        """A tick with as many digits as it takes to tell it from the next."""
        exact = sorted(len(f"{each:.10g}") for each in self.ticks)[-1]
        largest = max(map(abs, self.ticks))
        if exact > MOST_DIGITS or largest >= 10**MOST_DIGITS:
            return f"{tick:.3g}"
        return f"{tick:.10g}"


def axis_of(values: Sequence[float], whole: bool = False, ticks: int = 4) -> Axis:
    """An axis that has room for all values, with round numbers at its ticks.

    Args:
        values: one or more, finite.
        whole: whether ticks are whole numbers and the axis ends at the values.
        ticks: about how many.
    """
    low, high = min(values), max(values)
    if high - low <= SAME * max(abs(low), abs(high)):
        margin = 1.0 if whole or low == 0 else abs(low) / 2
        low, high = low - margin, high + margin
    step = _round_step((high - low) / ticks)
    if whole:
        step = max(1.0, step)
        start, stop = low, high
    else:
        start, stop = math.floor(low / step) * step, math.ceil(high / step) * step
    first = math.ceil(start / step - 1e-9)
    last = math.floor(stop / step + 1e-9)
    return Axis(start, stop, tuple(float(f"{k * step:.10g}") for k in range(first, last + 1)))


def _round_step(step: float) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is not below ``step``."""
    power: float = 10.0 ** math.floor(math.log10(step))
    for factor in (1.0, 2.0, 2.5, 5.0):
        if factor * power >= step * (1 - 1e-9):
            return factor * power
    return 10 * power


@dataclass(frozen=True)
class _Place:
    """Where on the drawing a pair of values stands."""

    horizontal: Axis
    vertical: Axis
    left: float
    right: float
    bottom: float
    top: float

    def x(self, value: float) -> float:
        axis = self.horizontal
        return self.left + (self.right - self.left) * (value - axis.low) / (axis.high - axis.low)

    def y(self, value: float) -> float:
        axis = self.vertical
        return self.bottom - (self.bottom - self.top) * (value - axis.low) / (axis.high - axis.low)


def _grid(place: _Place) -> Iterator[str]:
    axis = place.vertical
    for tick in axis.ticks:
        y = place.y(tick)
        yield (
            f'<line x1="{place.left}" x2="{place.right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        )
        yield (
            f'<text x="{place.left - 5}" y="{y + 4:.1f}" text-anchor="end">{axis.text(tick)}</text>'
        )
    axis = place.horizontal
    for tick in axis.ticks:
        yield (
            f'<text x="{place.x(tick):.1f}" y="{place.bottom + 15:.0f}" text-anchor="middle">'
            f"{axis.text(tick)}</text>"
        )


def _vertical_grid(place: _Place, unit: str) -> Iterator[str]:
    axis = place.horizontal
    for tick in axis.ticks:
        x = place.x(tick)
        anchor = "start" if x < 30 else "end" if x > WIDTH - 30 else "middle"
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{place.top}" y2="{place.bottom}" class="grid"/>'
        )
        yield (
            f'<text x="{x:.1f}" y="{place.bottom + 14:.0f}" text-anchor="{anchor}">'
            f"{axis.text(tick)}</text>"
        )
    yield (
        f'<text x="{WIDTH / 2:.0f}" y="{place.bottom + 29:.0f}" text-anchor="middle">'
        f"{escape(unit)}</text>"
    )


def _polyline(line: Line, place: _Place) -> str:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in thinned(line.points):
        if y is None or not math.isfinite(y):
            pieces.append([])
        else:
            pieces[-1].append((place.x(x), place.y(y)))
    look = f'stroke="{escape(line.colour)}"'
    if line.dashes:
        look += f' stroke-dasharray="{escape(line.dashes)}"'
    kind = ' class="faint"' if line.faint else ' class="line"'
    drawn = []
    for piece in filter(None, pieces):
        if len(piece) == 1:
            (x, y) = piece[0]
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{escape(line.colour)}"/>')
        else:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
            drawn.append(f'<polyline points="{points}" {look}{kind}/>')
    return f"<g><title>{escape(line.name)}</title>{''.join(drawn)}</g>"


def thinned(
    points: Sequence[tuple[float, float | None]],
) -> Sequence[tuple[float, float | None]]:
    """At most `MOST_POINTS` of the points, evenly spread, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(k * last / (MOST_POINTS - 1))] for k in range(MOST_POINTS)]


def _interval(row: Interval, place: _Place, top: float) -> Iterator[str]:
    yield from _row_text(row.label, row.text, top)
    middle = top + 25
    colour = ACCENT if row.strong else "currentColor"
    for dot in row.dots:
        yield f'<circle cx="{place.x(dot):.1f}" cy="{middle}" r="2.6" class="dot"/>'
    if row.low is not None and row.high is not None:
        yield (
            f'<line x1="{place.x(row.low):.1f}" x2="{place.x(row.high):.1f}" y1="{middle}" '
            f'y2="{middle}" stroke="{colour}" stroke-width="2.5"/>'
        )
    if row.value is not None:
        yield (
            f'<rect x="{place.x(row.value) - 4:.1f}" y="{middle - 4}" width="8" height="8" '
            f'fill="{colour}"/>'
        )


def _row_text(label: str, text: str, top: float) -> Iterator[str]:
    shown = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}\u2026"
    yield (
        f'<text x="8" y="{top + 12}"><title>{escape(label)}</title>{escape(shown)}</text>'
        f'<text x="{WIDTH - 8}" y="{top + 12}" text-anchor="end" class="value">'
        f"{escape(text)}</text>"
    )


def _rectangle(x: float, y: float, width: float, height: float, opacity: float) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{max(width, 0.5):.1f}" height="{height}" '
        f'fill="{ACCENT}" opacity="{opacity}"/>'
    )


def _numbers_of(row: Interval) -> Iterator[float]:
    for each in (row.value, row.low, row.high, *row.dots):
        if each is not None:
            yield each


def _in_words(line: Line) -> str:
    found = [y for _, y in line.points if y is not None and math.isfinite(y)]
    if line.faint or not found:
        return ""
    if len(found) == 1:
        return f"{line.name}: {short(found[0])}"
    return f"{line.name}: from {short(found[0])} to {short(found[-1])}"


def _svg(width: int, height: float, said: str, shapes: Sequence[str]) -> Svg:
    return Svg(
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(said)}">'
        f"{''.join(shapes)}</svg>"
    )


def short(value: float) -> str:
    """A number as short as it can be read: 0.25, 12, 1.2e-05."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
