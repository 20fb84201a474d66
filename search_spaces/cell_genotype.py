"""Cells as plain descriptions: operations on edges, and how cells are stacked into a network.

A genotype of the cell space says which operation stands on which edge of the two cells. Beside the
choice it may keep the architecture parameters it was derived from. Nothing here needs torch.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from msgspec import Struct

from search_spaces.description import (
    Description,
    GenotypeError,
    Normalisation,
    Provenance,
    Role,
    check_ends,
    require,
    softmax,
)

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""Candidate operations of an edge (Liu et al. 2019, section 3.1)."""

INPUTS = 2
"""Every cell has two input nodes, 0 (the cell before the last) and 1 (the last cell)."""

CellKind: TypeAlias = Literal["normal", "reduction"]
Ends: TypeAlias = Literal["discriminator", "pixel_discriminator", "classifier"]


class Edge(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An operation applied to node ``source``; ``probability`` is its share in the relaxation."""

    operation: str
    source: int
    probability: float | None = None

    def __post_init__(self) -> None:
        choices = OPERATIONS[1:]
        require(
            self.operation in choices,
            f"operation {self.operation!r} is not one of {', '.join(choices)}",
        )
        require(self.source >= 0, f"source {self.source} is not a node: nodes count from 0")
        require(
            self.probability is None or 0 <= self.probability <= 1,
            f"probability {self.probability} is not between 0 and 1",
        )


class Cell(Struct, frozen=True, forbid_unknown_fields=True):
    """A directed acyclic graph: node i is the sum of its edges, the output concatenates ``concat``.

    Nodes 0 and 1 are the cell's inputs; ``nodes[i]`` holds the edges into node ``i + 2``.
    """

    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        require(len(self.nodes) > 0, "a cell needs at least one intermediate node")
        for node, edges in enumerate(self.nodes, start=INPUTS):
            sources = [edge.source for edge in edges]
            require(len(edges) > 0, f"node {node} has no edge: at least one was expected")
            require(
                max(sources) < node,
                f"node {node} has an edge from node {max(sources)}: only earlier nodes feed it",
            )
            require(
                len(set(sources)) == len(sources),
                f"node {node} has two edges from one source ({sources}): one each was expected",
            )
        last = INPUTS + len(self.nodes) - 1
        require(
            len(self.concat) > 0
            and len(set(self.concat)) == len(self.concat)
            and all(INPUTS <= node <= last for node in self.concat),
            f"concat {list(self.concat)} must name some of the nodes {INPUTS} to {last}, each once",
        )


class Relaxation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Architecture parameters alpha: a row per edge of the complete cell, a column per operation.

    The rows are in the order of `complete_edges`: 0->2, 1->2, 0->3, 1->3, 2->3, 0->4, ...
    ``normal_edges`` and ``reduction_edges`` are the parameters beta of the edges, in that order,
    where edges are normalised (Xu et al. 2020).
    """

    operations: tuple[str, ...]
    normal: tuple[tuple[float, ...], ...]
    reduction: tuple[tuple[float, ...], ...]
    normal_edges: tuple[float, ...] | None = None
    reduction_edges: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_operations(self.operations)
        for kind, alpha in (("normal", self.normal), ("reduction", self.reduction)):
            require(
                len(alpha) == len(complete_edges(self.nodes)) > 0,
                f"{kind} has {len(alpha)} rows: 2, 5, 9, 14, ... were expected, one for each edge "
                "of a complete cell, and as many in both cells",
            )
            require(
                all(len(row) == len(self.operations) for row in alpha),
                f"a row of {kind} does not have {len(self.operations)} values, one per operation",
            )
            require(
                all(math.isfinite(value) for row in alpha for value in row),
                f"{kind} holds values that are not finite",
            )
        require(
            (self.normal_edges is None) == (self.reduction_edges is None),
            "normal_edges and reduction_edges belong together: both or none were expected",
        )
        for kind, beta in (("normal", self.normal_edges), ("reduction", self.reduction_edges)):
            require(
                beta is None or len(beta) == len(self.normal),
                f"{kind}_edges has {len(beta or ())} values: {len(self.normal)} were expected, one "
                "for each edge",
            )
            require(
                all(map(math.isfinite, beta or ())),
                f"{kind}_edges holds values that are not finite",
            )

    @property
    def nodes(self) -> int:
        """Number of intermediate nodes of a cell."""
        return (math.isqrt(9 + 8 * len(self.normal)) - 3) // 2

    @property
    def has_edges(self) -> bool:
        """Whether the edges have parameters of their own."""
        return self.normal_edges is not None

    def probabilities(self, kind: CellKind) -> tuple[tuple[float, ...], ...]:
        """Softmax over the operations of each edge; every row sums to 1."""
        return tuple(softmax(row) for row in getattr(self, kind))

    def edge_weights(self, kind: CellKind) -> tuple[float, ...]:
        """Softmax over the edges into a node, for all nodes; 1 where edges have no parameters."""
        beta = getattr(self, f"{kind}_edges")
        if beta is None:
            return (1.0,) * len(self.normal)
        weights: list[float] = []
        for node in range(self.nodes):
            first = len(weights)
            weights.extend(softmax(beta[first : first + INPUTS + node]))
        return tuple(weights)

    def shares(self, kind: CellKind) -> tuple[tuple[float, ...], ...]:
        """The probabilities of an edge times its weight: what each operation adds to the node."""
        pairs = zip(self.probabilities(kind), self.edge_weights(kind), strict=True)
        return tuple(tuple(weight * each for each in row) for row, weight in pairs)


class Network(Struct, frozen=True, forbid_unknown_fields=True):
    """How cells are stacked into a network.

    ``layout`` is one letter per cell, N or R (normal, reduction); a reduction cell halves the
    spatial size and doubles the channels. The head makes ``stem_multiplier * channels`` channels.
    ``sees_image`` says whether the network gets the image beside the segmentation map.
    ``ends`` decides what stands before the first and behind the last cell:
    "discriminator" as in Dong et al. 2019, one verdict per image; "pixel_discriminator" the same
    without the average, one verdict per pixel; "classifier" as in DARTS on CIFAR.
    ``in_channels`` (None where it is not known) and ``outputs`` are those of the network.
    """

    channels: int = 16
    stem_multiplier: int = 3
    layout: str = "NRNRNRN"
    normalisation: Normalisation = "batch"
    sees_image: bool = False
    ends: Ends = "discriminator"
    in_channels: int | None = None
    outputs: int = 1

    def __post_init__(self) -> None:
        require(self.channels >= 1, f"channels is {self.channels}: at least 1 was expected")
        require(
            self.stem_multiplier >= 1,
            f"stem_multiplier is {self.stem_multiplier}: at least 1 was expected",
        )
        check_ends(self.in_channels, self.outputs)
        require(
            len(self.layout) > 0 and set(self.layout) <= set("NR"),
            f"layout {self.layout!r} must be a word of N (normal cell) and R (reduction cell)",
        )


class CellGenotype(
    Description,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="space",
    tag="cell",
):
    """A discriminator of the cell space: two cells and how they are stacked."""

    role: ClassVar[Role] = "discriminator"

    normal: Cell
    reduction: Cell
    network: Network
    relaxation: Relaxation | None = None
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        if self.relaxation is not None:
            nodes = self.relaxation.nodes
            require(
                nodes == len(self.normal.nodes) == len(self.reduction.nodes),
                f"relaxation is of cells with {nodes} nodes: as many as in the cells were expected",
            )

    def canonical(self) -> CellGenotype:
        """The architecture alone: edges ordered by source, nothing of where it comes from."""
        return CellGenotype(_ordered(self.normal), _ordered(self.reduction), self.network)


def complete_edges(nodes: int) -> tuple[tuple[int, int], ...]:
    """(source, target) of every edge a cell of so many intermediate nodes can have."""
    targets = range(INPUTS, INPUTS + nodes)
    return tuple((source, target) for target in targets for source in range(target))


def check_operations(operations: Sequence[str]) -> None:
    """Raise GenotypeError unless these are known operations, each once, and one is not `none`."""
    unknown = [name for name in operations if name not in OPERATIONS]
    require(not unknown, f"operations {unknown} are not among {', '.join(OPERATIONS)}")
    require(
        len(set(operations)) == len(operations) and set(operations) > set(operations) & {"none"},
        f"operations {list(operations)} must name at least one other than none, each once",
    )


def from_darts_text(text: str, network: Network | None = None) -> CellGenotype:
    """Parse ``Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=range(2, 6), ...)``.

    The text has two edges for each node. A leading ``NAME =`` is allowed; nothing is evaluated.

    Raises:
        GenotypeError: the text is not of this form, or its cells cannot be.
    """
    try:
        (statement,) = ast.parse(text.strip()).body
        call = statement.value  # type: ignore[attr-defined]
        require(call.func.id == "Genotype" and not call.args, "it is not a call of Genotype")
        fields = {keyword.arg: keyword.value for keyword in call.keywords}
        cells = [
            _darts_cell(fields.pop(kind), fields.pop(f"{kind}_concat"))
            for kind in ("normal", "reduce")
        ]
        require(not fields, f"it has unknown fields: {', '.join(map(str, fields))}")
    except GenotypeError as error:
        raise GenotypeError(f"not a genotype of DARTS: {error}") from error
    except (SyntaxError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise GenotypeError(
            "not a genotype of DARTS: Genotype(normal=[(operation, source), ...], "
            "normal_concat=[...], reduce=[...], reduce_concat=[...]) was expected"
        ) from error
    return CellGenotype(cells[0], cells[1], network or Network())


def to_darts_text(genotype: CellGenotype) -> str:
    """The cells in the form of DARTS, which has no place for anything else.

    Raises:
        GenotypeError: a node does not have two edges, which the form requires.
    """

    def pairs(cell: Cell) -> list[tuple[str, int]]:
        require(
            all(len(edges) == 2 for edges in cell.nodes),
            "the form of DARTS has exactly two edges for each node",
        )
        return [(edge.operation, edge.source) for edges in cell.nodes for edge in edges]

    normal, reduction = genotype.normal, genotype.reduction
    return (
        f"Genotype(normal={pairs(normal)}, normal_concat={list(normal.concat)}, "
        f"reduce={pairs(reduction)}, reduce_concat={list(reduction.concat)})"
    )


def _darts_cell(edges: ast.expr, concat: ast.expr) -> Cell:
    pairs = [Edge(operation, source) for operation, source in ast.literal_eval(edges)]
    require(len(pairs) % 2 == 0, "two edges for each node were expected")
    nodes = tuple(zip(pairs[::2], pairs[1::2], strict=True))
    return Cell(nodes, _darts_concat(concat))


def _darts_concat(concat: ast.expr) -> tuple[int, ...]:
    if isinstance(concat, ast.Call) and isinstance(concat.func, ast.Name):
        require(concat.func.id == "range", f"{concat.func.id} stands where range was expected")
        nodes = range(*(ast.literal_eval(bound) for bound in concat.args))
        return tuple(nodes[: len(nodes)])
    return tuple(ast.literal_eval(concat))


def _ordered(cell: Cell) -> Cell:
    nodes = tuple(
        tuple(Edge(edge.operation, edge.source) for edge in sorted(edges, key=_source))
        for edges in cell.nodes
    )
    return Cell(nodes, tuple(sorted(cell.concat)))


def _source(edge: Edge) -> int:
    return edge.source
