"""Genotypes on a page: drawn as `nas-render` does, with what they are in words."""

from __future__ import annotations

from nas.page_pictures import data_uri
from nas.report.blocks import Block, Picture
from search_spaces.cell_genotype import INPUTS, CellGenotype
from search_spaces.drawing import render
from search_spaces.genotypes import Genotype
from search_spaces.parametric_graphs import caption

SVG = "image/svg+xml"
READABLE = 560
"""Pixels of width below which a drawing cannot be read; there it is scrolled."""


def genotype_block(genotype: Genotype, below: str) -> Block:
    """A picture of both cells, or of the parts of a network.

    The drawing is an image of its own, in which nothing can run.
    """
    return Picture(
        data_uri(render(genotype, "svg"), SVG), in_words(genotype), below, minimum=READABLE
    )


def in_words(genotype: Genotype) -> str:
    """What the drawing shows, for who cannot see it."""
    if not isinstance(genotype, CellGenotype):
        return " ".join(caption(genotype).split())
    told = []
    for kind in ("normal", "reduction"):
        nodes = getattr(genotype, kind).nodes
        edges = (
            f"{edge.operation.replace('_', ' ')} from {edge.source} to {node + INPUTS}"
            for node, inputs in enumerate(nodes)
            for edge in inputs
        )
        told.append(f"{kind} cell: {', '.join(edges)}")
    return "; ".join(told)
