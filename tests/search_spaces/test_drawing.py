from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from search_spaces import cell_graphs, drawing, plain_drawing
from search_spaces.cell_genotype import CellGenotype, from_darts_text
from search_spaces.drawing import DrawingError
from search_spaces.parametric_genotypes import (
    Choice,
    Choices,
    ConcatenationFCN,
    ConcatenationFCNGenotype,
    FlexVGG,
    FlexVGGGenotype,
)

MAGIC = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG", "dot": b"digraph genotype"}


@pytest.fixture
def without_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has neither pygraphviz nor the program dot."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "pygraphviz" else find_spec(name, *rest),
    )
    monkeypatch.setattr(shutil, "which", lambda *_: None)


def _draw(text: str, path: Path) -> bytes:
    drawing.draw(from_darts_text(text), path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png", "dot", "PNG"])
def test_the_suffix_decides_the_format(suffix: str, tmp_path: Path, darts_v2: str) -> None:
    content = _draw(darts_v2, tmp_path / f"cells.{suffix}")
    assert MAGIC[suffix.lower()] in content[:2000]


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png", "dot"])
@pytest.mark.usefixtures("without_graphviz")
def test_drawing_works_without_graphviz(suffix: str, tmp_path: Path, darts_v2: str) -> None:
    content = _draw(darts_v2, tmp_path / f"cells.{suffix}")
    assert MAGIC[suffix] in content[:2000]
    assert b"Graphviz" not in content
    if suffix == "png":
        pixels = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_an_svg_shows_both_cells_and_the_words_of_each_edge(tmp_path: Path, darts_v2: str) -> None:
    pytest.importorskip("pygraphviz")
    content = _draw(darts_v2, tmp_path / "cells.svg").decode()
    assert content.count("sep conv 3x3") == 5
    assert content.count("max pool 3x3") == 5
    assert "normal cell" in content
    assert "reduction cell" in content


def test_the_program_dot_draws_where_there_is_no_pygraphviz(
    tmp_path: Path, darts_v2: str, without_graphviz: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\necho "$@"\ncat\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(shutil, "which", lambda name: str(program) if name == "dot" else None)
    arguments, _, source = _draw(darts_v2, tmp_path / "cells.png").decode().partition("\n")
    assert arguments.split() == ["-Tpng", "-Gdpi=144"]
    assert source == cell_graphs.to_dot(from_darts_text(darts_v2))


@pytest.mark.parametrize("name", ["cells.jpg", "cells", "cells.", "svg"])
def test_other_formats_are_refused(name: str, tmp_path: Path, darts_v2: str) -> None:
    with pytest.raises(DrawingError, match=r"use \.svg, \.pdf, \.png, \.dot"):
        _draw(darts_v2, tmp_path / name)
    assert not (tmp_path / name).exists()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_edges_drawn_by_matplotlib_run_rightwards_and_over_no_node(
    seed: int, random_genotype: Callable[..., CellGenotype]
) -> None:
    graph = cell_graphs.cell_graph(random_genotype(seed).normal)
    places = {name: np.array(place) for name, place in plain_drawing._places(graph).items()}
    assert set(places) == set(graph)
    for (source, target), name in itertools.product(graph.edges, graph):
        start, along = places[source], places[target] - places[source]
        assert along[0] > 0
        if name not in (source, target):
            aside = places[name] - start
            distance = abs(along[0] * aside[1] - along[1] * aside[0]) / np.hypot(*along)
            assert distance > 0.01


def test_the_heat_map_shows_the_probabilities_of_both_cells(
    random_genotype: Callable[..., CellGenotype],
) -> None:
    relaxation = next(g.relaxation for g in map(random_genotype, range(99)) if g.relaxation)
    figure = drawing.probabilities_figure(relaxation)
    normal, reduction = (axes.images[0] for axes in figure.axes[:2])
    assert np.array_equal(np.array(normal.get_array()), relaxation.probabilities("normal"))
    assert np.array_equal(np.array(reduction.get_array()), relaxation.probabilities("reduction"))
    assert normal.get_clim() == reduction.get_clim()
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert rows[:2] == ["$c_{k-2}$ to 0", "$c_{k-1}$ to 0"]
    assert columns == [name.replace("_", " ") for name in relaxation.operations]


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_the_heat_map_is_drawn_into_a_file(
    suffix: str, tmp_path: Path, random_genotype: Callable[..., CellGenotype]
) -> None:
    relaxation = next(g.relaxation for g in map(random_genotype, range(99)) if g.relaxation)
    path = tmp_path / f"probabilities.{suffix}"
    drawing.draw_probabilities(relaxation, path)
    assert MAGIC[suffix] in path.read_bytes()[:2000]
    with pytest.raises(DrawingError, match=r"\.svg, \.pdf, \.png"):
        drawing.draw_probabilities(relaxation, tmp_path / "probabilities.dot")


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png", "dot"])
@pytest.mark.parametrize("engine", ["graphviz", "matplotlib"])
def test_networks_of_numbers_are_drawn_too(
    suffix: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "matplotlib":
        request.getfixturevalue("without_graphviz")
    for name, genotype in (
        ("d", FlexVGGGenotype(FlexVGG(in_channels=4))),
        ("s", ConcatenationFCNGenotype(ConcatenationFCN(taps=2))),
    ):
        path = tmp_path / f"{name}.{suffix}"
        drawing.draw(genotype, path)
        assert MAGIC[suffix] in path.read_bytes()[:2000]


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_probabilities_of_choices_are_drawn(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{suffix}"
    drawing.draw_probabilities(Choices({"blocks": Choice((3, 4), (0.0, 1.0))}), path)
    assert MAGIC[suffix] in path.read_bytes()[:2000]
