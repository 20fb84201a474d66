"""Small games in which each fault is real, and a healthy one; numbers against hand counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, one_hot
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from nas.cues import Cue, new_cue
from nas.data.batches import Batch
from nas.faults import faults
from nas.games.adversarial import Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated
from nas.games.nelson_as_coded import NelsonAsCoded
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.health import (
    Health,
    correlations,
    examine,
    leaked_gradient,
    shown_classes,
)
from nas.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss

SIZE = 12
BIG, SMALL = 8, 4
BORDER = 36 / SIZE**2


class Copyist(nn.Module):
    """Draws what is in the image, 0 or 1, as sure as its strength: P = sigmoid(2 strength)."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(strength).double())

    def forward(self, images: Tensor) -> Tensor:
        logits = self.strength * (2 * images - 1)
        return torch.cat([-logits, logits], dim=1)


class Measuring(nn.Module):
    """Calls a map real where a measure of it, one number per image or pixel, is above a border."""

    def __init__(self, measure: Callable[[Tensor], Tensor], border: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(10.0).double())
        self.measure = measure
        self.border = border

    def forward(self, maps: Tensor) -> Tensor:
        return self.gain * (self.measure(maps) - self.border)


def area(maps: Tensor) -> Tensor:
    """Share of the image that is more likely foreground: shape, nearly whatever the softness."""
    return (20 * (maps[:, 1] - 0.5)).sigmoid().mean(dim=(1, 2))[:, None]


def sureness(maps: Tensor) -> Tensor:
    """Mean of the largest probability: softness, whatever the shape."""
    return maps.amax(dim=1).mean(dim=(1, 2))[:, None]


@dataclass
class Duel:
    """A game of truths against predictions, or, with unlabelled images, against those of others."""

    segmenter: nn.Module
    discriminator: nn.Module
    adversarial: AdversarialLoss = ADVERSARIAL_LOSSES["non-saturating"]
    cue: Cue = field(default_factory=lambda: new_cue("probabilities", 0.0))
    order: Sequence[int] = (0, 1)
    pressure: Pressure = field(default_factory=lambda: Pressure(0.01))

    def contestants(self, batch: Batch) -> tuple[Tensor, Tensor]:
        probabilities = self.segmenter(self.images_of(batch, "fake")).softmax(dim=1)
        truth = one_hot(batch.labels, len(self.order)).movedim(-1, 1).to(probabilities)
        return self.cue.truth(truth), self.cue.prediction(probabilities)[:, list(self.order)]

    def judge(self, maps: Tensor, batch: Batch, of: str) -> Tensor:
        return self.discriminator(maps)

    def images_of(self, batch: Batch, side: str) -> Tensor:
        unlabelled = side == "fake" and batch.unlabelled is not None
        return batch.unlabelled if unlabelled else batch.images

    def shown(self, batch: Batch) -> Batch:
        return batch

    def fooling_loss(self, batch: Batch) -> Tensor:
        return self.adversarial.fooling(self.judge(self.contestants(batch)[1], batch, "fake"))

    def segmentation_loss(self, batch: Batch) -> Tensor:
        return cross_entropy(self.segmenter(batch.images), batch.labels)


def squares(sides: Iterable[int]) -> Tensor:
    """(N, H, W) of 0 and 1: one square in each image."""
    drawn = torch.zeros(0, SIZE, SIZE)
    for side in sides:
        image = torch.zeros(1, SIZE, SIZE)
        image[0, 2 : 2 + side, 3 : 3 + side] = 1
        drawn = torch.cat([drawn, image])
    return drawn


def batch_of(truths: Sequence[int], predictions: Sequence[int]) -> Batch:
    """Truths and predictions that are squares of these sides."""
    images = squares(predictions)[:, None].double()
    return Batch(images, squares(truths).long(), tuple(str(n) for n in range(len(truths))))


MOSTLY_LARGER_TRUTHS = [
    batch_of([BIG, BIG, BIG, SMALL], [SMALL, SMALL, BIG, SMALL]),
    batch_of([BIG, BIG, SMALL, BIG, BIG, BIG], [SMALL, BIG, SMALL, SMALL, SMALL, SMALL]),
]
"""The area tells 8 of 10 truths and 8 of 10 predictions."""

LARGER_TRUTHS = [batch_of([BIG] * 10, [SMALL] * 10)]
SAME_SHAPES = [batch_of([BIG, SMALL] * 5, [SMALL, BIG] * 5)]


def told(health: Health) -> list[str]:
    return list(faults(health).values())


def test_nothing_is_said_of_a_healthy_discriminator() -> None:
    health = examine(Duel(Copyist(), Measuring(area, BORDER)), MOSTLY_LARGER_TRUTHS)
    assert health.verdicts == 10
    assert health.real_accuracy == health.fake_accuracy == pytest.approx(0.8)
    assert health.softened_real_accuracy == health.hardened_fake_accuracy == pytest.approx(0.8)
    assert health.by_shape == pytest.approx(0.6)
    assert health.softness == health.by_softness == pytest.approx(0.0)
    assert not health.inverted
    assert health.leaked_gradient == 0
    assert told(health) == []


def test_losses_are_means_over_all_verdicts() -> None:
    game = Duel(Copyist(), Measuring(area, BORDER))
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    with torch.no_grad():
        truths = torch.cat([batch.labels for batch in MOSTLY_LARGER_TRUTHS])
        real = game.discriminator(one_hot(truths, 2).movedim(-1, 1).double())
        images = torch.cat([batch.images for batch in MOSTLY_LARGER_TRUTHS])
        fake = game.discriminator(game.segmenter(images).softmax(dim=1))
    assert health.real_loss == pytest.approx(float(bce(real, torch.ones_like(real))))
    assert health.fake_loss == pytest.approx(float(bce(fake, torch.zeros_like(fake))))


def test_gradients_are_those_of_a_central_difference() -> None:
    game = Duel(Copyist(0.7), Measuring(area, BORDER))

    def slope(term: Callable[[Batch], Tensor], batch: Batch) -> float:
        values = []
        for shift in (1e-5, -1e-5):
            with torch.no_grad():
                game.segmenter.strength.add_(shift)
                values.append(float(term(batch)))
                game.segmenter.strength.sub_(shift)
        return abs(values[0] - values[1]) / 2e-5

    adversarial, segmentation = (
        sum(slope(term, batch) for batch in MOSTLY_LARGER_TRUTHS) / 2
        for term in (game.fooling_loss, game.segmentation_loss)
    )
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    assert adversarial > 1e-3
    assert health.segmenter_gradient == pytest.approx(adversarial, rel=1e-4)
    assert health.segmentation_gradient == pytest.approx(segmentation, rel=1e-4)
    assert health.gradient_ratio == pytest.approx(adversarial / segmentation, rel=1e-4)


def test_a_batch_takes_one_pass_of_the_segmenter_and_one_for_each_kind_of_map() -> None:
    """Real, fake, and both shapes with the softness of the other; as many numbers as before."""
    segmenter, discriminator = Copyist(0.7), Measuring(area, BORDER)
    passes = {segmenter: 0, discriminator: 0}

    def count(module: nn.Module, *rest: object) -> None:
        passes[module] += 1

    for network in passes:
        network.register_forward_hook(count)
    shown = TruthAgainstPrediction(segmenter, discriminator, 2, Pressure(0.01))
    health = examine(shown, MOSTLY_LARGER_TRUTHS)
    batches = len(MOSTLY_LARGER_TRUTHS)
    assert list(passes.values()) == [batches, 4 * batches]
    assert health == examine(Duel(segmenter, discriminator), MOSTLY_LARGER_TRUTHS)


def test_images_of_the_fake_side_are_passed_once_too() -> None:
    batch = batch_of([BIG, SMALL], [BIG, SMALL])
    other = batch._replace(unlabelled=1 - batch.images)
    segmenter, discriminator = Copyist(0.7), Measuring(area, BORDER)
    passes = []
    segmenter.register_forward_hook(lambda *each: passes.append(1))
    game = AnnotatedAgainstUnannotated(segmenter, discriminator, 2, Pressure(0.01))
    health = examine(game, [other])
    assert len(passes) == 2
    assert health.shown_classes == (0, 1)


def test_a_discriminator_that_looks_at_softness_alone_is_named() -> None:
    health = examine(Duel(Copyist(), Measuring(sureness, 0.95)), MOSTLY_LARGER_TRUTHS)
    assert (health.by_softness, health.by_shape, health.softness) == (1.0, 0.0, 1.0)
    named = faults(health)
    assert set(named) == {"wins", "softness"}
    assert "exchanged on 0% and 0%" in named["softness"]
    assert "--cue straight-through" in named["softness"]


def test_a_discriminator_that_looks_at_shape_alone_is_not_accused_of_softness() -> None:
    health = examine(Duel(Copyist(), Measuring(area, BORDER)), LARGER_TRUTHS)
    assert (health.by_softness, health.by_shape, health.softness) == (0.0, 1.0, 0.0)
    named = faults(health)
    assert set(named) == {"wins"}
    assert "100% of real and 100% of fake" in named["wins"]


def test_softness_is_found_where_truths_are_the_softer_ones() -> None:
    """Truths smoothed to 0.9 against predictions of 0.98, told apart by a border between."""

    def softness(maps: Tensor) -> Tensor:
        return -sureness(maps)

    game = Duel(Copyist(2.0), Measuring(softness, -0.94), cue=new_cue("smoothed", 0.2))
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    assert (health.real_accuracy, health.fake_accuracy) == (1.0, 1.0)
    assert health.softness == 1.0


def test_softness_of_borders_is_found() -> None:
    """Predictions with the shapes of truths and blurred borders, betrayed by unsure pixels."""

    class Blurring(Copyist):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(avg_pool2d(images, 3, stride=1, padding=1))

    def sure_pixels(maps: Tensor) -> Tensor:
        return (20 * (maps.amax(dim=1) - 0.8)).sigmoid().mean(dim=(1, 2))[:, None]

    game = Duel(Blurring(3.0), Measuring(sure_pixels, 0.95))
    health = examine(game, SAME_SHAPES)
    assert health.softness == 1.0
    assert set(faults(health)) == {"wins", "softness"}


def test_straight_through_blinds_the_eye_for_softness() -> None:
    game = Duel(Copyist(), Measuring(sureness, 0.95), cue=new_cue("straight-through", 0.0))
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    assert (health.real_accuracy, health.fake_accuracy) == (1.0, 0.0)
    assert health.softness == 0
    assert set(faults(health)) == {"says one thing"}
    assert 'everything "real"' in faults(health)["says one thing"]


def test_a_discriminator_that_calls_everything_fake_is_named() -> None:
    health = examine(Duel(Copyist(), Measuring(area, 2.0)), MOSTLY_LARGER_TRUTHS)
    assert set(faults(health)) == {"says one thing"}
    assert 'everything "fake"' in told(health)[0]


def test_a_blind_discriminator_is_named() -> None:
    health = examine(Duel(Copyist(), Measuring(area, BORDER)), SAME_SHAPES)
    assert set(faults(health)) == {"blind"}
    assert "50% of real and 50% of fake" in told(health)[0]


def test_a_discriminator_that_hands_on_no_gradient_is_named() -> None:
    deaf = Measuring(lambda maps: area(maps.detach()), BORDER)
    health = examine(Duel(Copyist(), deaf), MOSTLY_LARGER_TRUTHS)
    assert health.segmenter_gradient == 0
    assert health.segmentation_gradient > 0
    assert set(faults(health)) == {"no gradient"}


def test_a_flipped_map_is_named() -> None:
    game = Duel(Copyist(), Measuring(area, BORDER), order=(1, 0))
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    assert health.inverted
    assert health.shown_classes == (1, 0)
    assert "channel 0 shows class 1, channel 1 shows class 0" in faults(health)["inverted"]


@pytest.mark.parametrize("cue", ["probabilities", "straight-through"])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 2, 0)])
def test_permuted_classes_are_found_out(cue: str, order: tuple[int, ...]) -> None:
    labels = torch.randint(0, 3, (4, SIZE, SIZE))
    batch = Batch(torch.rand(4, 3, SIZE, SIZE).double(), labels, ("a", "b", "c", "d"))
    segmenter = nn.Conv2d(3, 3, 1).double()
    with torch.no_grad():
        segmenter.weight.copy_(5 * torch.eye(3)[:, :, None, None])
    duel = Duel(segmenter, Measuring(area, BORDER), cue=new_cue(cue, 0.0), order=order)
    health = examine(duel, [batch])
    assert health.shown_classes == order
    assert health.inverted == (order != (0, 1, 2))


def test_a_class_that_is_never_the_most_probable_is_not_taken_for_another() -> None:
    """Hardened, class 2 is where class 1 is likely too, while class 2 is likely elsewhere too."""
    elsewhere, here = torch.tensor([0.7, 0.0, 0.3]), torch.tensor([0.1, 0.44, 0.46])
    image = elsewhere[:, None, None].repeat(1, SIZE, SIZE)
    image[:, 6:] = torch.tensor([0.55, 0.0, 0.45])[:, None, None]
    image[:, 2:5, 2:5] = here[:, None, None]

    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()).double())

        def forward(self, images: Tensor) -> Tensor:
            return self.scale * images

    labels = torch.zeros(1, SIZE, SIZE, dtype=torch.long)
    batch = Batch((image[None] + 1e-4).log().double(), labels, ("a",))
    cue = new_cue("straight-through", 0.0)
    duel = Duel(Given(), Measuring(area, BORDER), cue=cue, order=(0, 1, 2))
    assert examine(duel, [batch]).shown_classes == (0, 1, 2)


def test_channels_are_compared_with_predictions_for_the_images_of_the_fake_side() -> None:
    """In a game against unannotated images, of another number than the annotated ones."""
    labelled = batch_of([BIG, SMALL], [SMALL, SMALL])
    others = 1 - squares([BIG, SMALL, BIG])[:, None].double()
    batch = labelled._replace(unlabelled=others)
    health = examine(Duel(Copyist(), Measuring(area, BORDER)), [batch])
    assert health.verdicts == 2
    assert not health.inverted


def test_leaked_gradients_are_named_and_left_alone() -> None:
    game = Duel(Copyist(), Measuring(area, BORDER))
    game.discriminator.gain.grad = torch.tensor(-3.0).double()
    game.segmenter.strength.grad = torch.tensor(7.0).double()
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    assert health.leaked_gradient == 3.0
    assert set(faults(health)) == {"leak"}
    assert float(game.discriminator.gain.grad) == -3.0
    assert float(game.segmenter.strength.grad) == 7.0


def test_the_leaked_gradient_is_the_norm_of_all_that_is_left() -> None:
    network = nn.Linear(2, 1)
    assert leaked_gradient(network) == 0
    network.weight.grad = torch.tensor([[3.0, 0.0]])
    assert leaked_gradient(network) == 3.0
    network.bias.grad = torch.tensor([4.0])
    assert leaked_gradient(network) == pytest.approx(5.0)


def test_an_examination_leaves_no_trace() -> None:
    segmenter = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    discriminator = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 4, 3)),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.Conv2d(4, 1, 3),
    )
    discriminator[1].eval()
    discriminator[0].bias.requires_grad_(False)
    game = Duel(segmenter.double(), discriminator.double(), cue=new_cue("noised", 0.5))

    def everything() -> list[object]:
        networks = (segmenter, discriminator)
        tensors = [value.clone() for network in networks for value in network.state_dict().values()]
        parameters = [weight for network in networks for weight in network.parameters()]
        modes = [module.training for network in networks for module in network.modules()]
        flags = [weight.requires_grad for weight in parameters]
        slopes = [weight.grad for weight in parameters]
        return [*tensors, torch.get_rng_state(), modes, flags, slopes]

    before = everything()
    first = examine(game, MOSTLY_LARGER_TRUTHS)
    for old, new in zip(before, everything(), strict=True):
        assert torch.equal(old, new) if isinstance(old, Tensor) else old == new
    assert examine(game, MOSTLY_LARGER_TRUTHS) == first


@pytest.mark.parametrize(
    ("name", "called_real"), [("non-saturating", 1.0), ("hinge", 1.0), ("least-squares", 0.0)]
)
def test_a_verdict_means_what_the_loss_says(name: str, called_real: float) -> None:
    """0.3 is above the border of a logit, and below that between 0 and 1."""
    constant = Measuring(lambda maps: 0.03 + 0 * area(maps), 0.0)
    game = Duel(Copyist(), constant, ADVERSARIAL_LOSSES[name])
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    assert (health.real_accuracy, health.fake_accuracy) == (called_real, 1 - called_real)
    assert health.softened_real_accuracy == called_real
    assert health.hardened_fake_accuracy == 1 - called_real


def test_verdicts_on_pixels_are_counted_one_by_one() -> None:
    """Pixels of the foreground are called real: 64 or 16 of 144."""
    game = Duel(Copyist(), Measuring(lambda maps: maps[:, 1:], 0.5))
    health = examine(game, MOSTLY_LARGER_TRUTHS)
    assert health.verdicts == 10 * SIZE**2
    assert health.real_accuracy == pytest.approx((8 * 64 + 2 * 16) / 1440)
    assert health.fake_accuracy == pytest.approx(1 - (8 * 16 + 2 * 64) / 1440)


def test_without_a_batch_nothing_can_be_said() -> None:
    with pytest.raises(ValueError, match="one batch or more"):
        examine(Duel(Copyist(), Measuring(area, BORDER)), [])


@pytest.mark.parametrize(
    ("game", "inverted"), [(TruthAgainstPrediction, False), (NelsonAsCoded, True)]
)
def test_the_games_of_the_package_can_be_examined(
    game: type[TruthAgainstPrediction], inverted: bool
) -> None:
    played = game(Copyist(), Measuring(area, BORDER), 2, Pressure(0.01))
    health = examine(played, MOSTLY_LARGER_TRUTHS)
    assert health.inverted == inverted
    assert health.real_accuracy == pytest.approx(0.8)


SOUND = Health(
    verdicts=20,
    real_loss=0.6,
    fake_loss=0.6,
    real_accuracy=0.7,
    fake_accuracy=0.7,
    softened_real_accuracy=0.7,
    hardened_fake_accuracy=0.7,
    segmenter_gradient=0.1,
    segmentation_gradient=1.0,
    adversarial_weight=0.01,
    shown_classes=(0, 1, 2),
    leaked_gradient=0.0,
)


def test_numbers_are_finite_where_there_is_nothing_to_compare_with() -> None:
    for health in (
        replace(SOUND, segmentation_gradient=0.0),
        replace(SOUND, segmentation_gradient=0.0, segmenter_gradient=0.0),
    ):
        assert all(math.isfinite(number) for number in health.numbers().values())
    assert replace(SOUND, shown_classes=(0, 2, 1)).numbers()["inverted"] == 1.0


SHARE = st.floats(0, 1)


@given(real=SHARE, fake=SHARE, softened=SHARE, hardened=SHARE)
@settings(max_examples=25, deadline=None)
def test_the_effects_are_those_of_a_two_by_two_design(
    real: float, fake: float, softened: float, hardened: float
) -> None:
    health = replace(
        SOUND,
        real_accuracy=real,
        fake_accuracy=fake,
        softened_real_accuracy=softened,
        hardened_fake_accuracy=hardened,
    )
    called_fake = {
        ("real", "real"): 1 - real,
        ("real", "fake"): 1 - softened,
        ("fake", "real"): hardened,
        ("fake", "fake"): fake,
    }
    sides = ("real", "fake")
    by_softness = sum(called_fake[s, "fake"] - called_fake[s, "real"] for s in sides) / 2
    by_shape = sum(called_fake["fake", s] - called_fake["real", s] for s in sides) / 2
    assert health.by_softness == pytest.approx(by_softness)
    assert health.by_shape == pytest.approx(by_shape)
    expected = min(1.0, max(0.0, by_softness - abs(by_shape)))
    assert health.softness == pytest.approx(expected)


def test_correlations_are_pearsons() -> None:
    shown, probabilities = (torch.randn(2, 3, 6, 5).softmax(dim=1) for _ in range(2))
    rows = [maps.movedim(1, 0).flatten(1).double().numpy() for maps in (shown, probabilities)]
    assert np.allclose(correlations(shown, probabilities), np.corrcoef(*rows)[:3, 3:])


def test_a_channel_that_does_not_vary_shows_its_own_class() -> None:
    shown = torch.randn(2, 3, 6, 5).softmax(dim=1)
    shown[:, 1] = 1 / 3
    correlation = correlations(shown, shown)
    assert correlation[1].tolist() == pytest.approx([0, 0, 0], abs=1e-9)
    assert shown_classes(correlation) == (0, 1, 2)


def test_another_class_is_shown_only_where_it_correlates_clearly_better() -> None:
    assert shown_classes(torch.tensor([[0.85, 0.9], [0.1, 0.8]])) == (0, 1)
    assert shown_classes(torch.tensor([[0.7, 0.9], [0.1, 0.8]])) == (1, 1)
