"""Pictures of genotypes and of the probabilities they were derived from, as files."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces import cell_graphs, parametric_graphs
from search_spaces.cell_genotype import CellGenotype, Relaxation
from search_spaces.genotypes import Genotype
from search_spaces.parametric_genotypes import Choices
from search_spaces.plain_drawing import plain_figure
from search_spaces.probability_figures import probabilities_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_FORMATS = ("svg", "pdf", "png")
DOTS_PER_INCH = 144


class DrawingError(ValueError):
    """A picture that cannot be made; the message says what formats there are."""


def draw(genotype: Genotype, path: str | os.PathLike[str]) -> None:
    """Draw a genotype into a file: .svg, .pdf or .png, or .dot for the text of the graph.

    Raises:
        DrawingError: the suffix is none of these.
        OSError: the file cannot be written.
    """
    path = Path(path)
    path.write_bytes(render(genotype, _format(path, (*PICTURE_FORMATS, "dot"))))


def render(genotype: Genotype, file_format: str) -> bytes:
    """Content of a file with both cells, or with the parts of a network: svg, pdf, png or dot.

    Graphviz lays the graph out, as pygraphviz brings it or as the program ``dot``; where there is
    neither, matplotlib draws it in topological order.
    """
    source = to_dot(genotype)
    if file_format == "dot":
        return source.encode()
    if importlib.util.find_spec("pygraphviz"):
        return _with_pygraphviz(source, file_format)
    if shutil.which("dot"):
        return _with_dot(source, file_format)
    return _save(plain_figure(genotype), file_format)


def to_dot(genotype: Genotype) -> str:
    """A genotype as text in Graphviz's DOT."""
    if isinstance(genotype, CellGenotype):
        return cell_graphs.to_dot(genotype)
    return parametric_graphs.to_dot(genotype)


def draw_probabilities(relaxation: Relaxation | Choices, path: str | os.PathLike[str]) -> None:
    """Draw `probability_figures.probabilities_figure` into a file: .svg, .pdf or .png.

    Raises:
        DrawingError: the suffix is none of these.
        OSError: the file cannot be written.
    """
    path = Path(path)
    file_format = _format(path, PICTURE_FORMATS)
    path.write_bytes(_save(probabilities_figure(relaxation), file_format))


def _with_pygraphviz(source: str, file_format: str) -> bytes:
    from pygraphviz import AGraph

    graph = AGraph(string=source)
    if file_format == "png":
        graph.graph_attr["dpi"] = str(DOTS_PER_INCH)
    content: bytes = graph.draw(format=file_format, prog="dot")
    return content


def _with_dot(source: str, file_format: str) -> bytes:
    command = ["dot", f"-T{file_format}"]
    if file_format == "png":
        command.append(f"-Gdpi={DOTS_PER_INCH}")
    finished = subprocess.run(command, input=source.encode(), stdout=subprocess.PIPE, check=True)
    return finished.stdout


def _save(figure: Figure, file_format: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=file_format, dpi=DOTS_PER_INCH)
    return content.getvalue()


def _format(path: Path, formats: tuple[str, ...]) -> str:
    file_format = path.suffix.removeprefix(".").lower()
    if file_format not in formats:
        expected = ", ".join(f".{name}" for name in formats)
        raise DrawingError(f"{path}: cannot draw {path.suffix or 'no suffix'!r}: use {expected}")
    return file_format
