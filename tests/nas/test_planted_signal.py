"""A search must find the operation that alone can tell forgeries from the truth.

A mask is made of upright stripes two pixels wide, so that one stripe is one column of the first
cell. Stripes are independent coins, except that in the truth each equals the one ``shift`` to its
right, and in a forgery it is its opposite. Whatever looks at fewer than ``shift`` + 1 stripes in a
row sees the same coins in both; only an operation that reaches further can tell them apart. In
stripes, the head spans 1 + 2, a 3x3 pooling adds 2, a dilated 3x3 or a twofold separable 3x3
convolution 4, a dilated 5x5 convolution 8.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.data.batches import Batch
from nas.games.adversarial import Pressure
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.products import finite_difference
from search_spaces.cell import CellSupernet
from search_spaces.cell_genotype import Edge
from search_spaces.derivation import derive

STRIPES = 20


def masks(count: int, shift: int, sign: int, generator: torch.Generator) -> Tensor:
    """(count, 2 * STRIPES, 2 * STRIPES) of 0 and 1; stripe j + shift is sign times stripe j."""
    coins = torch.randint(0, 2, (count, shift), generator=generator) * 2 - 1
    repeats = [coins * sign**turn for turn in range(-(-STRIPES // shift))]
    stripes = (torch.cat(repeats, dim=1)[:, :STRIPES] + 1) // 2
    return stripes.repeat_interleave(2, dim=1)[:, None].expand(-1, 2 * STRIPES, -1)


def batch(shift: int, generator: torch.Generator) -> Batch:
    truth = masks(8, shift, 1, generator)
    forgery = masks(8, shift, -1, generator)
    return Batch(forgery[:, None].float(), truth, tuple("abcdefgh"))


class Forger(nn.Module):
    """A segmenter that returns its input as a confident class map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.scale * (images - 0.5)
        return torch.cat([-logits, logits], dim=1)


def strongest_edge(shift: int, operations: tuple[str, ...]) -> Edge:
    """The edge into the only node of a normal cell that a short search is surest of."""
    generator = torch.Generator().manual_seed(11)
    supernet = CellSupernet(
        2, channels=8, layout="N", nodes=1, operations=operations, normalisation="none"
    )
    forger = Forger()
    game = TruthAgainstPrediction(forger, supernet, 2, Pressure(0.0))
    weights, scale = supernet.weights(), [forger.scale]
    engine = Bilevel(
        players=[
            Player(
                "segmenter",
                scale,
                game.segmenter_loss,
                Adam(scale, 1e-5),
                UnrolledStep(1e-5),
                finite_difference(),
            ),
            Player(
                "discriminator",
                weights,
                game.discriminator_loss,
                Adam(weights, 1e-2),
                UnrolledStep(1e-2),
                finite_difference(),
            ),
        ],
        groups=[
            Group(
                "architecture",
                supernet.alphas(),
                game.discriminator_objective,
                Adam(supernet.alphas(), 3e-2, betas=(0.5, 0.999)),
            )
        ],
        modules=[forger, supernet],
    )
    for _ in range(150):
        train = batch(shift, generator)
        engine.update_architecture(engine.groups[0], train, batch(shift, generator))
        engine.update_weights(train)
    genotype = derive(supernet.relaxation(), supernet.network)
    (edges,) = genotype.normal.nodes
    return max(edges, key=lambda edge: edge.probability or 0.0)


def test_stripes_are_equal_in_truth_and_opposite_in_forgeries() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, forgery = masks(4, 4, 1, generator), masks(4, 4, -1, generator)
    assert torch.equal(truth[:, :, 8:], truth[:, :, :-8])
    assert torch.equal(forgery[:, :, 8:], 1 - forgery[:, :, :-8])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shift", "operations", "planted"),
    [
        (
            8,
            (
                "none",
                "max_pool_3x3",
                "skip_connect",
                "sep_conv_3x3",
                "dil_conv_3x3",
                "dil_conv_5x5",
            ),
            "dil_conv_5x5",
        ),
        (4, ("skip_connect", "dil_conv_3x3", "none"), "dil_conv_3x3"),
    ],
)
def test_the_search_picks_the_only_operation_that_sees_the_forgery(
    shift: int, operations: tuple[str, ...], planted: str
) -> None:
    edge = strongest_edge(shift, operations)
    assert edge.operation == planted
    assert edge.probability is not None
    assert edge.probability > 0.5
