"""Bars as tall as the probabilities, the chosen candidate marked."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from search_spaces.cell_genotype import OPERATIONS, Relaxation
from search_spaces.parametric_genotypes import Choice, Choices
from search_spaces.probability_figures import CHOSEN, OTHER, bars, heat_map, probabilities_figure

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


def test_a_heat_map_shows_weights_of_edges_and_says_so() -> None:
    rows = tuple((float(column), 0.0, *range(6)) for column in range(2))
    relaxation = Relaxation(OPERATIONS, rows, rows, (1.0, 0.0), (0.0, 0.0))
    figure = heat_map(relaxation)
    image = figure.axes[0].images[0].get_array()
    assert image is not None
    assert image.sum(axis=1).tolist() == pytest.approx([0.7311, 0.2689], abs=1e-4)
    assert figure.axes[2].get_ylabel() == "probability times weight of the edge"
    plain = heat_map(Relaxation(OPERATIONS, rows, rows))
    assert plain.axes[2].get_ylabel() == "probability"
