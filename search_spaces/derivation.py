"""From architecture parameters to a genotype, as DARTS decodes (Liu et al. 2019, section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from search_spaces.cell_genotype import (
    INPUTS,
    Cell,
    CellGenotype,
    CellKind,
    Edge,
    Network,
    Relaxation,
    complete_edges,
)

Ranked: TypeAlias = tuple[float, Edge]
"""The strength of an edge, and the edge with its best operation."""


def derive(
    relaxation: Relaxation, network: Network | None = None, edges_per_node: int = 2
) -> CellGenotype:
    """Keep for each node its strongest incoming edges, each with its best operation.

    The probabilities are the softmax over the operations of an edge. `none` takes part in the
    softmax but is never chosen: the strength of an edge is the probability of its best operation
    other than `none`, times the edge's weight where edges have weights (Xu et al. 2020, section
    3.3). Of equally strong edges the one from the lower source wins, of equally probable operations
    the first. The output of a cell concatenates all its intermediate nodes. The genotype shows the
    strengths, rounded to six digits, as probabilities: with weights of edges they are those of a
    pair of edge and operation among all into the node.

    Args:
        relaxation: the architecture parameters; they are kept in the genotype.
        network: how the cells are stacked.
        edges_per_node: edges kept for each node, >= 1; a node with fewer keeps all.

    Raises:
        ValueError: edges_per_node is less than 1.
    """
    if edges_per_node < 1:
        raise ValueError(f"edges_per_node is {edges_per_node}: at least 1 was expected")
    return CellGenotype(
        normal=_derive_cell(relaxation, "normal", edges_per_node),
        reduction=_derive_cell(relaxation, "reduction", edges_per_node),
        network=network or Network(),
        relaxation=relaxation,
    )


def _derive_cell(relaxation: Relaxation, kind: CellKind, edges_per_node: int) -> Cell:
    incoming: list[list[Ranked]] = [[] for _ in range(relaxation.nodes)]
    rows = relaxation.shares(kind)
    for (source, target), row in zip(complete_edges(relaxation.nodes), rows, strict=True):
        incoming[target - INPUTS].append(_best_operation(relaxation.operations, row, source))
    return Cell(
        nodes=tuple(_strongest(edges, edges_per_node) for edges in incoming),
        concat=tuple(range(INPUTS, INPUTS + relaxation.nodes)),
    )


def _best_operation(operations: Sequence[str], row: Sequence[float], source: int) -> Ranked:
    candidates = [pair for pair in zip(operations, row, strict=True) if pair[0] != "none"]
    operation, strength = max(candidates, key=lambda pair: pair[1])
    return strength, Edge(operation, source, round(strength, 6))


def _strongest(ranked: Sequence[Ranked], count: int) -> tuple[Edge, ...]:
    """The strongest edges, in the order of their sources; sorting keeps the order of ties."""
    kept = sorted(ranked, key=lambda pair: pair[0], reverse=True)[:count]
    return tuple(sorted((edge for _, edge in kept), key=lambda edge: edge.source))
