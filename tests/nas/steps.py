"""A few steps of a game in float64, in one of several processes or alone: steps.py FILE CASE...

The numbers that come out are saved by the first process. Networks and batches, which are drawn at
random, are the same everywhere; what is drawn by torch's generator in a step is not.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import SGD

from nas.batch_statistics import synchronise
from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.criteria import segmentation_criterion
from nas.data.batches import Batch
from nas.data.cases import UNKNOWN
from nas.data.parts import part_of
from nas.devices import joined
from nas.games.adversarial import AdversarialSegmentation, Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.losses.adversarial import ADVERSARIAL_LOSSES
from nas.products import Product, exact, finite_difference
from nas.ranks import count, is_first, number, of_first, together
from nas.settings import LossSettings
from search_spaces.cell import CellSupernet

SIZE, CLASSES = 16, 2


def batch_of(images: int, seed: int) -> Batch:
    """Images with unknown pixels, most of them in the first one, weights, triplets and more."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (images, SIZE, SIZE), generator=generator)
    labels[0, : SIZE - 4] = UNKNOWN
    pixels = SIZE * SIZE
    triplets = torch.cat(
        [torch.randint(0, pixels, (9, 3), generator=generator) + i * pixels for i in range(images)]
    )
    return Batch(
        torch.rand(images, 1, SIZE, SIZE, generator=generator, dtype=torch.float64),
        labels,
        tuple(str(i) for i in range(images)),
        torch.rand(images, SIZE, SIZE, generator=generator, dtype=torch.float64),
        triplets[torch.randperm(len(triplets), generator=generator)],
        torch.rand(images + 1, 1, SIZE, SIZE, generator=generator, dtype=torch.float64),
    )


def segmenter(normalisation: str) -> nn.Module:
    layer: Any = nn.BatchNorm2d(4) if normalisation == "batch" else nn.GroupNorm(2, 4)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), layer, nn.SiLU(), nn.Conv2d(4, CLASSES, 1))


def run(
    kind: type[AdversarialSegmentation],
    adversarial: str,
    normalisation: Any,
    product: Product | None,
    rate: float,
    sizes: list[int],
    single_path: bool = False,
) -> dict[str, Any]:
    """Steps with a batch of each size; what they leave behind."""
    torch.manual_seed(3)
    supernet = CellSupernet(
        CLASSES,
        channels=4,
        layout="NR",
        nodes=2,
        operations=("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3"),
        normalisation=normalisation,
        single_path=single_path,
    ).double()
    if supernet.sampler is not None:
        supernet.sampler.agree = of_first
    network = segmenter(normalisation).double()
    if count() > 1:
        synchronise(network)
        synchronise(supernet)
    loss = LossSettings(loss="cross_entropy+dice", triplet_weight=0.01)
    game = kind(
        network,
        supernet,
        CLASSES,
        Pressure(0.5, 0.25 if kind is TruthAgainstPrediction else 0.0),
        adversarial=ADVERSARIAL_LOSSES[adversarial],
        criterion=segmentation_criterion(loss),
    )
    unrolled = UnrolledStep(rate, 0.9, 1e-3)
    theta, phi, alphas = list(network.parameters()), supernet.weights(), supernet.alphas()
    engine = Bilevel(
        [
            Player(
                "s",
                theta,
                game.segmenter_loss,
                SGD(theta, 0.05, 0.9),
                unrolled,
                product,
                0.7,
                game.shown,
            ),
            Player("d", phi, game.discriminator_loss, SGD(phi, 0.05, 0.9), unrolled, product, 0.7),
        ],
        [
            Group(
                "own", supernet.alphas(), game.discriminator_objective, SGD(supernet.alphas(), 1.0)
            ),
            Group("other", supernet.alphas(), game.segmentation_loss, SGD(supernet.alphas(), 1.0)),
        ],
        [network, supernet],
        joined=joined(),
    )
    mine = partial(part_of, number=number(), count=count()) if count() > 1 else lambda batch: batch
    torch.manual_seed(number())
    numbers: dict[str, Any] = {}
    for step, size in enumerate(sizes):
        train, validation = mine(batch_of(size, 2 * step)), mine(batch_of(size, 2 * step + 1))
        for group in engine.groups:
            terms = engine.update_architecture(group, train, validation)
            numbers[f"{step} {group.name} objective"] = terms.objective
            for player, term in terms.indirect.items():
                numbers[f"{step} {group.name} indirect {player}"] = term
        numbers |= {f"{step} {name}": value for name, value in engine.update_weights(train).items()}
    numbers["theta"] = [weight.detach() for weight in theta]
    numbers["phi"] = [weight.detach() for weight in phi]
    numbers["alpha"] = [alpha.detach() for alpha in alphas]
    buffers = [*network.buffers(), *supernet.buffers()]
    numbers["buffers"] = [buffer.double() for buffer in buffers]
    return numbers


CASES: dict[str, tuple[Any, ...]] = {
    "first order": (TruthAgainstPrediction, "non-saturating", "group", None, 0.0, [4, 3, 1]),
    "finite": (TruthAgainstPrediction, "hinge", "group", finite_difference(), 0.1, [4, 3, 1]),
    "exact": (AnnotatedAgainstUnannotated, "least-squares", "group", exact(), 0.1, [4, 3, 1]),
    "batch exact": (TruthAgainstPrediction, "non-saturating", "batch", exact(), 0.1, [3]),
    "batch finite": (TruthAgainstPrediction, "hinge", "batch", finite_difference(), 0.1, [4, 3]),
    "path": (TruthAgainstPrediction, "hinge", "batch", exact(), 0.1, [4, 3], True),
}
"""Of several processes some have no image in the batches of one."""


def main() -> None:
    path, *names = sys.argv[1:]
    found = {name: run(*CASES[name]) for name in names}
    if is_first():
        torch.save(found, path)


if __name__ == "__main__":
    together(main)()
