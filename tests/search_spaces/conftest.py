"""Genotypes to test with: published ones, and random ones made without the code under test.

And both paths of the relaxed cell.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from search_spaces.cell_genotype import OPERATIONS, Cell, CellGenotype, Edge, Network, Relaxation
from search_spaces.kernel_choice import choose_kernels


@dataclass(frozen=True)
class Published:
    """A genotype in the text form of its authors, and its parameters with 36 channels, 20 cells."""

    text: str
    parameters: int


PUBLISHED = {
    "DARTS_V1": Published(
        "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], "
        "reduce_concat=[2, 3, 4, 5])",
        3_169_414,
    ),
    "DARTS_V2": Published(
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
        "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=[2, 3, 4, 5])",
        3_349_342,
    ),
    "PC_DARTS_cifar": Published(
        "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
        "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
        "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
        "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], "
        "reduce_concat=range(2, 6))",
        3_634_678,
    ),
    "PDARTS": Published(
        "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), "
        "('dil_conv_5x5', 4)], normal_concat=range(2, 6), reduce=[('avg_pool_3x3', 0), "
        "('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
        "('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], "
        "reduce_concat=range(2, 6))",
        3_433_798,
    ),
}


@pytest.fixture(scope="session", params=sorted(PUBLISHED))
def published(request: pytest.FixtureRequest) -> Published:
    return PUBLISHED[request.param]


@pytest.fixture(scope="session")
def darts_v2() -> str:
    return PUBLISHED["DARTS_V2"].text


def _random_genotype(seed: int, edges_per_node: int | None = None) -> CellGenotype:
    """Cells of 1 to 5 nodes, kept beside random architecture parameters in half of the cases."""
    draw = random.Random(seed)
    nodes = draw.randint(1, 5)

    def cell() -> Cell:
        incoming = []
        for node in range(2, 2 + nodes):
            count = edges_per_node or draw.randint(1, node)
            incoming.append(
                tuple(
                    Edge(
                        draw.choice(OPERATIONS[1:]), source, draw.choice([None, 0.5, draw.random()])
                    )
                    for source in draw.sample(range(node), count)
                )
            )
        concat = draw.sample(range(2, 2 + nodes), draw.randint(1, nodes))
        return Cell(tuple(incoming), tuple(concat))

    def alpha() -> tuple[tuple[float, ...], ...]:
        rows = sum(range(2, 2 + nodes))
        return tuple(tuple(draw.gauss(0, 1) for _ in OPERATIONS) for _ in range(rows))

    return CellGenotype(
        normal=cell(),
        reduction=cell(),
        network=Network(
            channels=draw.randint(1, 64),
            layout="".join(draw.choices("NR", k=draw.randint(1, 9))),
            normalisation=draw.choice(["batch", "instance", "group", "spectral", "none"]),
            sees_image=draw.random() < 0.5,
        ),
        relaxation=Relaxation(OPERATIONS, alpha(), alpha()) if draw.random() < 0.5 else None,
    )


@pytest.fixture(scope="session")
def random_genotype() -> Callable[..., CellGenotype]:
    return _random_genotype


@pytest.fixture(params=["compiled", "torch"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """What computes relaxed cells in a test."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="kernels need numba")
    choose_kernels(request.param)
    yield request.param
    choose_kernels("auto")
