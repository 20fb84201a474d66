"""The three mistakes are there, each alone visible, and absent from the corrected game."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from nas.bilevel import Bilevel, Player, UnrolledStep
from nas.data.batches import Batch
from nas.data.cases import UNKNOWN
from nas.games.adversarial import Pressure
from nas.games.nelson_as_coded import (
    NelsonAsCoded,
    UnclearedGradients,
    cross_entropy_of_probabilities,
    random_halves,
)
from nas.games.truth_prediction import TruthAgainstPrediction


class Known(nn.Module):
    """A segmenter that gives the labels away, which are the images."""

    def forward(self, images: Tensor) -> Tensor:
        return 50.0 * torch.cat([1 - images, images], dim=1)


class Recorder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2, 1, 1)
        self.seen: list[Tensor] = []

    def forward(self, maps: Tensor) -> Tensor:
        self.seen.append(maps)
        return self.layer(maps).mean(dim=(2, 3))


@pytest.fixture
def batch() -> Batch:
    labels = torch.randint(0, 2, (4, 6, 5))
    return Batch(labels[:, None].float(), labels, tuple("abcd"))


def test_a_perfect_prediction_is_shown_with_its_channels_inverted(batch: Batch) -> None:
    judge = Recorder()
    coded = NelsonAsCoded(Known(), judge, 2, Pressure(1.0))
    real, fake = coded.contestants(batch)
    assert torch.allclose(fake, 1 - real)
    _, fake = TruthAgainstPrediction(Known(), judge, 2, Pressure(1.0)).contestants(batch)
    assert torch.allclose(fake, real)


def test_the_loss_of_a_sure_segmenter_cannot_fall_below_log_of_one_plus_one_over_e(
    batch: Batch,
) -> None:
    sure = cross_entropy_of_probabilities(Known()(batch.images), batch)
    assert math.isclose(sure.item(), math.log(1 + math.exp(-1)), rel_tol=1e-5)
    wrong = cross_entropy_of_probabilities(Known()(1 - batch.images), batch)
    assert math.isclose(wrong.item(), math.log(1 + math.e), rel_tol=1e-5)


def test_truths_of_one_half_are_judged_against_predictions_of_the_other(batch: Batch) -> None:
    judge = Recorder()
    NelsonAsCoded(Known(), judge, 2, Pressure(1.0)).discriminator_loss(batch)
    assert [len(seen) for seen in judge.seen] == [2, 2]
    truths, predictions = random_halves(batch)
    assert sorted(truths.ids + predictions.ids) == list("abcd")
    for half in (truths, predictions):
        where = [batch.ids.index(name) for name in half.ids]
        assert torch.equal(half.images, batch.images[where])
        assert torch.equal(half.labels, batch.labels[where])


def make_engine(kind: type[Bilevel], game: NelsonAsCoded, rate: float) -> Bilevel:
    def player(name: str, module: nn.Module, loss: object) -> Player:
        weights = list(module.parameters())
        return Player(name, weights, loss, SGD(weights, rate), UnrolledStep(0.0), None)

    players = [
        player("segmenter", game.segmenter, game.segmenter_loss),
        player("discriminator", game.discriminator, game.discriminator_loss),
    ]
    return kind(players, [], [game.segmenter, game.discriminator])


def test_the_discriminator_steps_along_all_gradients_since_the_beginning(batch: Batch) -> None:
    """Two steps by hand: the second adds to the first the slope of the segmenter's loss too."""
    torch.manual_seed(3)
    game = NelsonAsCoded(nn.Conv2d(1, 2, 1), Recorder(), 2, Pressure(0.7))
    whole = batch._replace(images=torch.rand(1, 1, 6, 5), labels=batch.labels[:1], ids=("a",))
    expected = copy.deepcopy(game)
    engine = make_engine(UnclearedGradients, game, 0.1)
    for _ in range(2):
        engine.update_weights(whole)

    piled = [torch.zeros_like(weight) for weight in expected.discriminator.parameters()]
    for _ in range(2):
        phi, theta = (list(m.parameters()) for m in (expected.discriminator, expected.segmenter))
        slopes = torch.autograd.grad(expected.discriminator_loss(whole), phi)
        piled = [pile + slope for pile, slope in zip(piled, slopes, strict=True)]
        with torch.no_grad():
            for weight, pile in zip(phi, piled, strict=True):
                weight -= 0.1 * pile
        slopes = torch.autograd.grad(expected.segmenter_loss(whole), [*theta, *phi])
        with torch.no_grad():
            for weight, slope in zip(theta, slopes, strict=False):
                weight -= 0.1 * slope
        piled = [pile + leak for pile, leak in zip(piled, slopes[len(theta) :], strict=True)]
    for found, wanted in zip(
        [*game.discriminator.parameters(), *game.segmenter.parameters()],
        [*expected.discriminator.parameters(), *expected.segmenter.parameters()],
        strict=True,
    ):
        assert torch.allclose(found, wanted, atol=1e-6)


def test_piled_gradients_are_part_of_the_state(batch: Batch) -> None:
    game = NelsonAsCoded(nn.Conv2d(1, 2, 1), Recorder(), 2, Pressure(0.7))
    engine = make_engine(UnclearedGradients, game, 0.1)
    engine.update_weights(batch)
    game.discriminator.seen.clear()
    again = copy.deepcopy(game)
    for weight in again.discriminator.parameters():
        weight.grad = None
    other = make_engine(UnclearedGradients, again, 0.1)
    other.restore(engine.state())
    for one, two in zip(
        game.discriminator.parameters(), again.discriminator.parameters(), strict=True
    ):
        assert one.grad is not None and torch.equal(one.grad, two.grad)


def test_the_ordinary_engine_leaves_no_gradient_behind(batch: Batch) -> None:
    game = NelsonAsCoded(nn.Conv2d(1, 2, 1), Recorder(), 2, Pressure(0.7))
    make_engine(Bilevel, game, 0.1).update_weights(batch)
    assert all(weight.grad is None for weight in game.discriminator.parameters())


def test_before_the_adversarial_training_only_the_segmenter_moves(batch: Batch) -> None:
    game = NelsonAsCoded(nn.Conv2d(1, 2, 1), Recorder(), 2, Pressure(0.0))
    before = copy.deepcopy(game.discriminator.state_dict())
    losses = make_engine(UnclearedGradients, game, 0.1).update_weights(batch, ("segmenter",))
    assert set(losses) == {"segmenter"}
    for name, value in game.discriminator.state_dict().items():
        assert torch.equal(value, before[name])


def test_unknown_pixels_are_shown_to_nobody(batch: Batch) -> None:
    judge = Recorder()
    marked = batch._replace(labels=batch.labels.clone())
    marked.labels[:, :3] = UNKNOWN
    coded = NelsonAsCoded(Known(), judge, 2, Pressure(1.0))
    coded.discriminator_loss(marked)
    coded.segmenter_loss(marked)
    for seen in judge.seen:
        assert not seen[:, :, :3].any()
        assert seen[:, :, 3:].any()
    known = batch._replace(images=batch.images[:, :, 3:], labels=batch.labels[:, 3:])
    torch.testing.assert_close(
        cross_entropy_of_probabilities(Known()(marked.images), marked),
        cross_entropy_of_probabilities(Known()(known.images), known),
    )
