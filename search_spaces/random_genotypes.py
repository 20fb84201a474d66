"""Genotypes drawn at random, to compare a search with (Li and Talwalkar, UAI 2019).

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from search_spaces.cell_genotype import (
    INPUTS,
    Cell,
    CellGenotype,
    Edge,
    Network,
    check_operations,
)
from search_spaces.description import require
from search_spaces.parametric_genotypes import Candidate, Parameters, combinations


def random_cells(
    network: Network,
    nodes: int,
    operations: Sequence[str],
    edges_per_node: int,
    generator: Random,
) -> CellGenotype:
    """Cells in which every choice that a search could make is equally likely.

    For each node ``edges_per_node`` different earlier nodes are drawn (all, where there are fewer),
    and for each of these edges an operation other than ``none``, independently.

    Args:
        network: how the cells are stacked.
        nodes: intermediate nodes of a cell, >= 1.
        operations: candidates.
        edges_per_node: edges into each node, >= 1.
        generator: draws.

    Raises:
        GenotypeError: there are no such cells.
    """
    check_operations(operations)
    require(nodes >= 1 and edges_per_node >= 1, "nodes and edges_per_node must be at least 1")
    choices = [name for name in operations if name != "none"]

    def cell() -> Cell:
        return Cell(
            nodes=tuple(edges(node) for node in range(INPUTS, INPUTS + nodes)),
            concat=tuple(range(INPUTS, INPUTS + nodes)),
        )

    def edges(node: int) -> tuple[Edge, ...]:
        sources = sorted(generator.sample(range(node), min(edges_per_node, node)))
        return tuple(Edge(generator.choice(choices), source) for source in sources)

    return CellGenotype(normal=cell(), reduction=cell(), network=network)


def random_combination(
    network: Parameters, candidates: Mapping[str, Sequence[Candidate]], generator: Random
) -> Parameters:
    """One of the networks that the candidates allow, all equally likely.

    Args:
        network: the numbers that are not searched.
        candidates: for each number searched, what it may be.
        generator: draws.

    Raises:
        GenotypeError: a combination gives no network, or a number cannot be searched.
    """
    return generator.choice(combinations(network, candidates))
