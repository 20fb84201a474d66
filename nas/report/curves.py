"""Charts of what a run recorded over its epochs: learning, the discriminator's health, alpha."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from nas.faults import HEALTHY
from nas.plots import COLOURS, PANELS, SHARES, has_numbers, node_name, number, operation_styles
from nas.report.blocks import Block, Charts, Heading, Text
from nas.report.charts import Chart, Line, line_chart
from search_spaces.cell_genotype import CellKind, Relaxation, complete_edges
from search_spaces.genotypes import Genotype
from search_spaces.parametric_genotypes import Choices

HEALTH_PANELS = (
    "Discriminator's accuracy",
    "What the discriminator goes by",
    "Gradient of the adversarial term",
)
"""Titles in `nas.plots.PANELS` that tell how the discriminator fares."""
DASHES = {"-": "", "--": "6 3", ":": "2 3", "-.": "6 3 2 3"}
"""Matplotlib's names of dashes, as SVG writes them."""


def learning_charts(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """All panels of `nas.plots.PANELS` that have numbers, but those of the health."""
    return list(_panels(records, [name for name in PANELS if name not in HEALTH_PANELS]))


def health_charts(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """The panels that tell how the discriminator fares; none of a training without one."""
    return list(_panels(records, HEALTH_PANELS))


def health_blocks(records: Sequence[Mapping[str, Any]], summary: str | None) -> list[Block]:
    """How the discriminator fared: in a sentence where the run recorded one, and as charts."""
    charts = health_charts(records)
    if not charts and not summary:
        return [Text(["No discriminator was examined in this run."], "missing")]
    return [
        *([Text([summary])] if summary else []),
        *([Charts(charts, caption=_band_in_words())] if charts else []),
    ]


def _band_in_words() -> str:
    return (
        f"Healthy: right on at most {HEALTHY.winning:.0%} of both sides and on at least "
        f"{HEALTHY.blind:.0%} on average; softness counts at most {HEALTHY.softness:g} more than "
        f"shape; the gradient of the adversarial term is at most {HEALTHY.outweighing:g} times "
        "that of the segmentation loss."
    )


def _panels(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[Chart]:
    for name in names:
        shown = {key: text for key, text in PANELS[name].items() if has_numbers(records, key)}
        lines = [
            Line(text, series(records, key), css_colour(COLOURS[place % len(COLOURS)]))
            for place, (key, text) in enumerate(shown.items())
        ]
        if lines:
            yield line_chart(name, lines, shares=name in SHARES)


def series(records: Sequence[Mapping[str, Any]], metric: str) -> list[tuple[float, float | None]]:
    """(epoch, value) of a metric; None where it is missing or not finite."""
    values = ((float(each["epoch"]), number(each.get(metric))) for each in records)
    return [(epoch, value if math.isfinite(value) else None) for epoch, value in values]


def css_colour(colour: str) -> str:
    """A colour of a figure on white as a page with a dark ground can show it too."""
    return "currentColor" if colour == "#000000" else colour


def probability_blocks(found: Sequence[tuple[int, Genotype]]) -> list[Block]:
    """How the probabilities of a search moved: a chart per edge of a cell, or per number searched.

    Args:
        found: epoch and genotype after it, in order.
    """
    cells = [(epoch, g.relaxation) for epoch, g in found if isinstance(g.relaxation, Relaxation)]
    choices = [(epoch, g.relaxation) for epoch, g in found if isinstance(g.relaxation, Choices)]
    if not cells and not choices:
        return [Text(["The genotypes of this search hold no probabilities."], "missing")]
    return [*(_cell_blocks(cells) if cells else ()), *(_choice_blocks(choices) if choices else ())]


def _cell_blocks(cells: Sequence[tuple[int, Relaxation]]) -> Iterator[Block]:
    operations = cells[0][1].operations
    styles = operation_styles(operations)
    legend = [
        (name.replace("_", " "), css_colour(styles[name][0]), DASHES[styles[name][1]])
        for name in operations
    ]
    for kind in get_args(CellKind):
        moved = [(epoch, each.probabilities(kind)) for epoch, each in cells]
        top = max(value for _, rows in moved for row in rows for value in row)
        charts = []
        for edge, (source, target) in enumerate(complete_edges(cells[0][1].nodes)):
            lines = [
                Line(name, [(epoch, rows[edge][place]) for epoch, rows in moved], colour, dashes)
                for place, (name, colour, dashes) in enumerate(legend)
            ]
            title = f"{node_name(source)} to {node_name(target)}"
            charts.append(Chart(title, line_chart(title, lines, top=top).svg))
        yield Heading(f"{kind} cell")
        yield Charts(
            charts,
            small=True,
            legend=legend,
            caption="Softmax of alpha on each edge over the epochs; all charts have one scale.",
        )


def _choice_blocks(choices: Sequence[tuple[int, Choices]]) -> Iterator[Block]:
    last = choices[-1][1].choices
    shown = [name for name, each in last.items() if len(each.candidates) > 1] or list(last)
    charts = []
    for name in shown:
        moved = [(epoch, each.choices[name].probabilities()) for epoch, each in choices]
        lines = [
            Line(
                str(candidate).replace("_", " "),
                [(epoch, values[place]) for epoch, values in moved],
                css_colour(COLOURS[place % len(COLOURS)]),
            )
            for place, candidate in enumerate(last[name].candidates)
        ]
        charts.append(line_chart(name.replace("_", " "), lines, shares=True))
    yield Charts(charts, caption="Probability of each candidate over the epochs.")
