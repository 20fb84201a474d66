"""Histograms as inline SVG, drawn without a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 24, 22
BINS = 24


def bars(title: str, heights: Sequence[float], ticks: Sequence[str], colour: str) -> str:
    """Bars of equal width side by side, as an ``<svg>`` element.

    Args:
        title: above them; also what a screen reader says.
        heights: of the bars, at least one, 0 or more.
        ticks: below them, the first at the left end and the last at the right.
        colour: as CSS writes it.

    Raises:
        ValueError: there are no bars.
    """
    if len(heights) == 0:
        raise ValueError("a chart needs one bar or more")
    step = (WIDTH - LEFT - RIGHT) / len(heights)
    tallest = max(heights) or 1
    room = HEIGHT - TOP - BOTTOM
    shapes = [
        f'<rect x="{LEFT + place * step:.1f}" y="{TOP + room * (1 - height / tallest):.1f}" '
        f'width="{max(step - 1, 0.5):.1f}" height="{room * height / tallest:.1f}" '
        f'fill="{colour}"/>'
        for place, height in enumerate(heights)
    ]
    return _chart(title, shapes, ticks)


def curves(title: str, lines: Mapping[str, Sequence[float]], ticks: Sequence[str]) -> str:
    """Lines over one axis, as an ``<svg>`` element.

    Args:
        title: as for `bars`.
        lines: the heights of each, two or more, by its colour as CSS writes it.
        ticks: as for `bars`.
    """
    tallest = max(max(heights) for heights in lines.values()) or 1
    room = HEIGHT - TOP - BOTTOM
    shapes = []
    for colour, heights in lines.items():
        step = (WIDTH - LEFT - RIGHT) / (len(heights) - 1)
        points = " ".join(
            f"{LEFT + place * step:.1f},{TOP + room * (1 - height / tallest):.1f}"
            for place, height in enumerate(heights)
        )
        shapes.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
    return _chart(title, shapes, ticks)


def histogram(
    title: str, values: Sequence[float] | NDArray[np.generic], unit: str, colour: str
) -> str:
    """How often values occur, in `BINS` steps from the smallest to the largest.

    Args:
        title: as for `bars`.
        values: one or more.
        unit: behind the numbers at both ends.
        colour: as CSS writes it.

    Raises:
        ValueError: there are no values.
    """
    if len(values) == 0:
        raise ValueError("a histogram needs one value or more")
    counts, edges = np.histogram(np.asarray(values, dtype=np.float64), bins=BINS)
    return bars(title, counts.tolist(), [number(edges[0], unit), number(edges[-1], unit)], colour)


def histogram_of_magnitudes(
    title: str, values: Sequence[float] | NDArray[np.generic], unit: str, colour: str
) -> str:
    """As `histogram`, for values above 0 over a logarithmic axis.

    Raises:
        ValueError: there are no values, or one is not above 0.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0 or (array <= 0).any():
        raise ValueError("a histogram of magnitudes needs values above 0")
    counts, edges = np.histogram(np.log10(array), bins=BINS)
    ends = [number(float(10 ** edges[place]), unit) for place in (0, BINS // 2, -1)]
    return bars(title, counts.tolist(), ends, colour)


def number(value: float, unit: str = "") -> str:
    """A number as short as it can be read, with its unit."""
    text = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"
    return f"{text} {unit}".rstrip()


def _chart(title: str, shapes: Sequence[str], ticks: Sequence[str]) -> str:
    last = max(len(ticks) - 1, 1)
    labels = []
    for place, tick in enumerate(ticks):
        anchor = "start" if place == 0 else "end" if place == last else "middle"
        x = LEFT + (WIDTH - LEFT - RIGHT) * place / last
        labels.append(
            f'<text x="{x:.0f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(tick)}</text>'
        )
    base = HEIGHT - BOTTOM
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text x="{LEFT}" y="15" class="title">{escape(title)}</text>{"".join(shapes)}'
        f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}" stroke="currentColor"/>'
        f"{''.join(labels)}</svg>"
    )
