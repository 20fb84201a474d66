"""The engine takes the step that the plain reference takes."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.data.batches import Batch
from nas.games.adversarial import Pressure
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.products import finite_difference
from nas.segmenters.unet import UNet
from search_spaces.cell import CellSupernet

TOOLS = Path(__file__).parents[2] / "tools"
CLASSES, SIZE = 3, 64
RATE, RADIUS = 0.05, 1e-2


def load(name: str) -> ModuleType:
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        assert specification is not None and specification.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


plain_cell = load("plain_cell")
plain_step = load("plain_step")


def draw_batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 1, SIZE, SIZE, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (2, SIZE // 8, SIZE // 8), generator=generator)
    return Batch(images, labels.repeat_interleave(8, 1).repeat_interleave(8, 2), ("a", "b"))


BATCHES = [(draw_batch(2 * step + 1), draw_batch(2 * step + 2)) for step in range(3)]


def new_game(normalisation: Any, noise: float = 0.0) -> TruthAgainstPrediction:
    """The same game for each call, its weights and alphas scaled by 1 + noise."""
    torch.manual_seed(3)
    supernet = CellSupernet(CLASSES, channels=4, layout="NR", nodes=2, normalisation=normalisation)
    game = TruthAgainstPrediction(
        UNet(1, CLASSES, width=4, depth=2, normalisation=normalisation).double(),
        supernet.double(),
        CLASSES,
        Pressure(0.5),
    )
    with torch.no_grad():
        for each in supernet.alphas():
            each.mul_(300)
        for network in (game.segmenter, game.discriminator):
            for weight in network.parameters():
                weight.mul_(1 + noise * torch.randn_like(weight))
    return game


def values(game: TruthAgainstPrediction) -> dict[str, Tensor]:
    """Parameters by the names of the plain networks."""
    judge = game.discriminator
    plain = plain_cell.by_edge(judge) if isinstance(judge, CellSupernet) else judge.state_dict()
    named = {**game.segmenter.state_dict(prefix="segmenter."), **plain}
    return {
        name: value.clone()
        for name, value in named.items()
        if "running" not in name and "tracked" not in name
    }


Outcome = dict[str, dict[str, Tensor]]


def outcome(take_step: Callable[[Batch, Batch], list[Tensor]], game: Any, steps: int) -> Outcome:
    """What steps in a row compute, each in four vectors that are judged on their own."""
    parts: Outcome = {}
    for number, (train, validation) in enumerate(BATCHES[:steps], 1):
        before = values(game)
        hypergradient = take_step(train, validation)
        moves = {name: value - before[name] for name, value in values(game).items()}
        parts[f"hypergradient {number}"] = dict(zip("nr", hypergradient, strict=True))
        for part, chosen in (
            ("alpha", lambda name: name.startswith("alpha.")),
            ("theta", lambda name: name.startswith("segmenter.")),
            ("phi", lambda name: not name.startswith(("alpha.", "segmenter."))),
        ):
            parts[f"{part} {number}"] = {name: move for name, move in moves.items() if chosen(name)}
    return parts


def plain_outcome(game: TruthAgainstPrediction, second_order: bool, steps: int = 1) -> Outcome:
    game.discriminator = plain_cell.PlainSupernet(game.discriminator)
    search = plain_step.PlainSearch(
        game,
        (
            *(SGD(weights, 0.1) for weights in plain_step.weights_of(game)),
            SGD(plain_step.alphas(game), 0.1),
        ),
        RATE,
        RADIUS,
        second_order,
    )
    return outcome(search.step, game, steps)


def engine_outcome(game: TruthAgainstPrediction, second_order: bool, steps: int = 1) -> Outcome:
    judge = game.discriminator
    assert isinstance(judge, CellSupernet)

    def player(name: str, weights: list[nn.Parameter], loss: Any, shows: Any) -> Player[Batch]:
        unrolled = UnrolledStep(RATE if second_order else 0.0)
        product = finite_difference(RADIUS)
        return Player(name, weights, loss, SGD(weights, 0.1), unrolled, product, shows=shows)

    theta = list(game.segmenter.parameters())
    group = Group(
        "discriminator", judge.alphas(), game.discriminator_objective, SGD(judge.alphas(), 0.1)
    )
    engine = Bilevel(
        [
            player("segmenter", theta, game.segmenter_loss, game.shown),
            player("discriminator", judge.weights(), game.discriminator_loss, None),
        ],
        [group],
        [game.segmenter, judge],
    )

    def take_step(train: Batch, validation: Batch) -> list[Tensor]:
        terms = engine.update_architecture(group, train, validation)
        engine.update_weights(train)
        return terms.total()

    return outcome(take_step, game, steps)


def distance(found: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """||found - truth|| / ||truth||, over all tensors as one vector."""
    assert found.keys() == truth.keys()
    apart = torch.cat([(found[name] - truth[name]).flatten() for name in truth]).norm()
    return float(apart / torch.cat([value.flatten() for value in truth.values()]).norm())


@pytest.mark.parametrize("normalisation", ["group", "batch", "instance"])
@pytest.mark.parametrize("second_order", [True, False])
@pytest.mark.parametrize("steps", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_engine_takes_the_plain_steps(
    normalisation: str, second_order: bool, steps: int
) -> None:
    """Each within ten times what the plain one makes of parameters scaled by 1 + 1e-13 noise."""
    truth = plain_outcome(new_game(normalisation), second_order, steps)
    disturbed = plain_outcome(new_game(normalisation, 1e-13), second_order, steps)
    found = engine_outcome(new_game(normalisation), second_order, steps)
    for part in truth:
        sensitivity = distance(disturbed[part], truth[part])
        assert 0 < sensitivity < 1e-6, part
        assert distance(found[part], truth[part]) <= 10 * sensitivity, part


def test_the_plain_step_has_second_order_terms() -> None:
    first, second = (plain_outcome(new_game("group"), order) for order in (False, True))
    assert distance(second["hypergradient 1"], first["hypergradient 1"]) > 1e-3
    assert distance(second["theta 1"], first["theta 1"]) > 1e-12


def test_the_plain_supernet_is_the_supernet() -> None:
    game = new_game("batch")
    maps = torch.rand(2, CLASSES, SIZE, SIZE, dtype=torch.float64)
    plain = plain_cell.PlainSupernet(game.discriminator)
    assert torch.allclose(plain(maps), copy.deepcopy(game.discriminator)(maps), rtol=1e-10)
