"""Bars as tall as the probabilities, the chosen candidate marked."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from search_spaces.parametric_genotypes import Choice, Choices
from search_spaces.probability_figures import CHOSEN, OTHER, bars, probabilities_figure

CHOICES = Choices(
    {
        "blocks": Choice((3, 4, 5), (0.0, 2.0, 1.0)),
        "taps": Choice((3,), (0.1,)),
        "pattern": Choice(("single_run", "double_run"), (1.0, 0.0)),
    }
)


def test_a_panel_for_each_choice_and_a_bar_for_each_candidate() -> None:
    figure = bars(CHOICES)
    assert [axes.get_ylabel() for axes in figure.axes] == ["blocks", "pattern"]
    blocks, pattern = figure.axes
    heights = [bar.get_height() for bar in blocks.patches]
    assert heights == pytest.approx([0.0900, 0.6652, 0.2447], abs=1e-4)
    colours = [to_hex(bar.get_facecolor()) for bar in blocks.patches]
    assert colours == [OTHER, CHOSEN, OTHER]
    names = [label.get_text() for label in pattern.get_xticklabels()]
    assert names == ["single run", "double run"]


def test_a_space_without_a_choice_is_drawn_too() -> None:
    figure = probabilities_figure(Choices({"taps": Choice((3,), (0.1,))}))
    assert [axes.get_ylabel() for axes in figure.axes] == ["taps"]
