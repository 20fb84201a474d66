"""The game: what the discriminator is shown, what the losses are, and who gets gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from nas.cues import new_cue
from nas.data.batches import Batch
from nas.data.cases import UNKNOWN
from nas.games.adversarial import Pressure
from nas.games.segmentation import Segmentation
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.losses.adversarial import ADVERSARIAL_LOSSES

CLASSES = 3
HALF = Pressure(0.5)


class Recorder(nn.Module):
    """A discriminator that remembers what it was shown and judges by one class."""

    def __init__(self, channel: int = 2) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.channel = channel
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.scale * x[:, self.channel].mean(dim=(1, 2))[:, None]


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 1, 6, 5, generator=generator)
    labels = torch.randint(0, CLASSES, (2, 6, 5), generator=generator)
    return Batch(images, labels, ("a", "b"))


class Oracle(nn.Module):
    """A segmenter that knows the labels, up to a strength that it could learn."""

    def __init__(self, labels: Tensor, strength: float) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(strength))
        self.register_buffer("code", torch.eye(CLASSES)[labels].movedim(-1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.strength * self.code


def game(
    segmenter: nn.Module, judge: nn.Module, pressure: Pressure = HALF, **options: Any
) -> TruthAgainstPrediction:
    return TruthAgainstPrediction(segmenter, judge, CLASSES, pressure, **options)


def test_a_perfect_prediction_is_shown_exactly_like_the_truth(batch: Batch) -> None:
    """Catches inverted and permuted channels, and maps that are not probabilities."""
    judge = Recorder()
    game(Oracle(batch.labels, 50.0), judge).discriminator_loss(batch)
    real, fake = judge.seen
    assert torch.allclose(real, fake, atol=1e-6)
    assert real.shape == (2, CLASSES, 6, 5)
    for index in range(CLASSES):
        assert torch.equal(real[:, index] == 1, batch.labels == index)


def test_the_prediction_is_shown_as_probabilities_of_the_classes_in_order(batch: Batch) -> None:
    judge = Recorder()
    segmenter = nn.Conv2d(1, CLASSES, 3, padding=1)
    game(segmenter, judge).discriminator_loss(batch)
    _, fake = judge.seen
    logits = segmenter(batch.images)
    expected = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    assert torch.allclose(fake, expected)


def test_truth_and_prediction_are_judged_in_passes_of_their_own(batch: Batch) -> None:
    judge = Recorder()
    game(nn.Conv2d(1, CLASSES, 1), judge).discriminator_objective(batch)
    assert [len(x) for x in judge.seen] == [2, 2]


def test_the_image_is_appended_where_it_is_to_be_seen(batch: Batch) -> None:
    judge = Recorder()
    game(nn.Conv2d(1, CLASSES, 1), judge, sees_image=True).discriminator_loss(batch)
    for seen in judge.seen:
        assert torch.equal(seen[:, CLASSES:], batch.images)


def test_segmenter_loss_is_equation_1(batch: Batch) -> None:
    """Cross-entropy of logits written out (no second softmax), minus lambda log g."""
    segmenter, judge = nn.Conv2d(1, CLASSES, 3, padding=1), Recorder()
    found = game(segmenter, judge).segmenter_loss(batch)
    logits = segmenter(batch.images)
    log_probabilities = logits - logits.exp().sum(dim=1, keepdim=True).log()
    cross_entropy = -log_probabilities.gather(1, batch.labels[:, None]).mean()
    verdict = judge(logits.softmax(dim=1))
    assert torch.allclose(found, cross_entropy - 0.5 * verdict.sigmoid().log().mean())
    assert torch.allclose(Segmentation(segmenter).segmentation_loss(batch), cross_entropy)


def test_cross_entropy_of_a_sure_segmenter_vanishes(batch: Batch) -> None:
    """With softmax applied twice it could not fall below log(1 + 2/e) = 0.55."""
    loss = Segmentation(Oracle(batch.labels, 50.0)).segmentation_loss(batch)
    assert loss.item() < 1e-6


def test_discriminator_loss_is_equation_2(batch: Batch) -> None:
    segmenter, judge = nn.Conv2d(1, CLASSES, 1), Recorder()
    found = game(segmenter, judge).discriminator_loss(batch)
    real, fake = (judge(seen) for seen in list(judge.seen))
    assert torch.allclose(found, softplus(-real).mean() + softplus(fake).mean())
    objective = game(segmenter, judge).discriminator_objective(batch)
    assert torch.allclose(objective, found)


def test_only_the_objective_reaches_the_segmenter_through_the_discriminators_loss(
    batch: Batch,
) -> None:
    segmenter, judge = nn.Conv2d(1, CLASSES, 1), Recorder()
    both = game(segmenter, judge)
    (slope,) = torch.autograd.grad(
        both.discriminator_loss(batch), [segmenter.weight], allow_unused=True
    )
    assert slope is None
    (slope,) = torch.autograd.grad(both.discriminator_objective(batch), [segmenter.weight])
    assert float(slope.abs().sum()) > 0


def test_the_adversarial_term_pulls_the_prediction_towards_what_is_taken_for_real(
    batch: Batch,
) -> None:
    """A judge that likes class 2 must raise P(class 2), not lower it."""
    segmenter, judge = nn.Conv2d(1, CLASSES, 1), Recorder(channel=2)
    adversarial = game(segmenter, judge, Pressure(1e3))
    before = segmenter(batch.images).softmax(1)[:, 2].mean()
    loss = adversarial.segmenter_loss(batch)
    slopes = torch.autograd.grad(loss, list(segmenter.parameters()))
    with torch.no_grad():
        for weight, slope in zip(segmenter.parameters(), slopes, strict=True):
            weight -= 1e-3 * slope
    assert segmenter(batch.images).softmax(1)[:, 2].mean().item() > before.item()


def test_verdicts_are_logits_of_real_then_fake(batch: Batch) -> None:
    judge = Recorder()
    real, fake = game(Oracle(batch.labels, -50.0), judge).verdicts(batch)
    share = (batch.labels == 2).float().mean(dim=(1, 2))[:, None]
    assert torch.allclose(real, share)
    assert not torch.allclose(fake, share)
    assert not real.requires_grad


def test_losses_are_in_full_precision_under_autocast(batch: Batch) -> None:
    """Rounded to bfloat16, a loss of 1.4 would move in steps of 0.008."""
    both = game(nn.Conv2d(1, CLASSES, 3, padding=1), nn.Sequential(nn.Flatten(), nn.Linear(90, 1)))
    with torch.autocast("cpu", torch.bfloat16):
        losses = [both.segmenter_loss(batch), both.discriminator_loss(batch)]
        real, fake = both.verdicts(batch)
    assert {value.dtype for value in (*losses, real, fake)} == {torch.float32}


def test_unlabelled_images_add_their_own_weighted_term(batch: Batch) -> None:
    """Lalwani: L_G = CE + lambda_1 BCE(labelled) + lambda_2 BCE(unlabelled)."""
    segmenter, judge = nn.Conv2d(1, CLASSES, 3, padding=1), Recorder()
    more = batch._replace(unlabelled=torch.rand(3, 1, 6, 5))
    without = game(segmenter, judge).segmenter_loss(more)
    found = game(segmenter, judge, Pressure(0.5, 0.3)).segmenter_loss(more)
    verdict = judge(segmenter(more.unlabelled).softmax(dim=1))
    assert torch.allclose(found - without, -0.3 * verdict.sigmoid().log().mean())


def test_a_stage_without_labels_minimises_the_unlabelled_term_alone(batch: Batch) -> None:
    segmenter, judge = nn.Conv2d(1, CLASSES, 3, padding=1), Recorder()
    more = batch._replace(unlabelled=torch.rand(3, 1, 6, 5))
    found = game(segmenter, judge, Pressure(0.0, 0.3, supervised=False)).segmenter_loss(more)
    verdict = judge(segmenter(more.unlabelled).softmax(dim=1))
    assert torch.allclose(found, -0.3 * verdict.sigmoid().log().mean())


def test_without_pressure_the_discriminator_is_not_asked(batch: Batch) -> None:
    segmenter, judge = nn.Conv2d(1, CLASSES, 1), Recorder()
    free = game(segmenter, judge, Pressure(0.0))
    assert torch.equal(free.segmenter_loss(batch), free.segmentation_loss(batch))
    assert judge.seen == []


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_both_losses_are_those_of_the_objective(batch: Batch, name: str) -> None:
    segmenter, judge = nn.Conv2d(1, CLASSES, 1), Recorder()
    adversarial = ADVERSARIAL_LOSSES[name]
    both = game(segmenter, judge, adversarial=adversarial)
    real, fake = both.verdicts(batch)
    assert torch.allclose(both.discriminator_loss(batch), adversarial.discrimination(real, fake))
    expected = both.segmentation_loss(batch) + 0.5 * adversarial.fooling(fake)
    assert torch.allclose(both.segmenter_loss(batch), expected)


def test_the_cue_is_between_both_maps_and_the_discriminator(batch: Batch) -> None:
    judge = Recorder()
    segmenter = nn.Conv2d(1, CLASSES, 3, padding=1)
    game(segmenter, judge, cue=new_cue("straight-through", 0.0)).discriminator_loss(batch)
    game(segmenter, judge, cue=new_cue("smoothed", 0.3)).discriminator_loss(batch)
    _, hardened, smoothed, _ = judge.seen
    assert set(hardened.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(hardened.argmax(1), segmenter(batch.images).argmax(1))
    assert torch.allclose(smoothed.max(), torch.tensor(0.7 + 0.1))


@pytest.mark.parametrize("cue", ["probabilities", "straight-through", "smoothed", "noised"])
def test_where_the_truth_is_unknown_both_maps_are_empty(batch: Batch, cue: str) -> None:
    """So nothing there tells them apart; elsewhere they are what they would be without it."""
    unknown = torch.rand(2, 6, 5) < 0.4
    marked = batch._replace(labels=batch.labels.masked_fill(unknown, UNKNOWN))
    judge = Recorder()
    played = game(nn.Conv2d(1, CLASSES, 3, padding=1), judge, cue=new_cue(cue, 0.2))
    torch.manual_seed(1)
    real, fake = played.contestants(marked)
    torch.manual_seed(1)
    whole_real, whole_fake = played.contestants(batch)
    for shown, whole in ((real, whole_real), (fake, whole_fake)):
        at_pixels, whole_at_pixels = shown.movedim(1, -1), whole.movedim(1, -1)
        assert not at_pixels[unknown].any()
        torch.testing.assert_close(at_pixels[~unknown], whole_at_pixels[~unknown])


def test_unknown_pixels_do_not_move_the_segmenter(batch: Batch) -> None:
    """With the loss of Eq. 1, whose two terms would both move each pixel."""

    class Free(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Parameter(torch.randn(2, CLASSES, 6, 5))

        def forward(self, images: Tensor) -> Tensor:
            return self.map

    unknown = torch.rand(2, 6, 5) < 0.4
    marked = batch._replace(labels=batch.labels.masked_fill(unknown, UNKNOWN))
    free = Free()
    game(free, Recorder(), Pressure(1.0)).segmenter_loss(marked).backward()
    assert free.map.grad is not None
    gradient = free.map.grad.movedim(1, -1)
    assert not gradient[unknown].any()
    assert gradient[~unknown].any(dim=-1).all()
