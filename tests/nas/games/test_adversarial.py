"""Separate and joint passes, and one path for both sides of a loss."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from nas.data.batches import Batch
from nas.games.adversarial import AdversarialSegmentation, Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.losses.adversarial import ADVERSARIAL_LOSSES
from search_spaces.cell import CellSupernet

CLASSES = 3
GAMES = (TruthAgainstPrediction, AnnotatedAgainstUnannotated)


def draw_batch() -> Batch:
    """Three annotated images and two others."""
    images, others = torch.rand(3, 1, 16, 16).double(), torch.rand(2, 1, 16, 16).double()
    labels = torch.randint(0, CLASSES, (3, 16, 16))
    return Batch(images, labels, ("a", "b", "c"), unlabelled=others)


def judge(norm: nn.Module) -> nn.Module:
    layers = nn.Conv2d(CLASSES + 1, 4, 3), norm, nn.Tanh(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 1))


def new_game(
    kind: type[AdversarialSegmentation], discriminator: nn.Module, passes: Any
) -> AdversarialSegmentation:
    segmenter = nn.Conv2d(1, CLASSES, 3, padding=1)
    return kind(
        segmenter.double(),
        discriminator.double(),
        CLASSES,
        Pressure(0.5),
        sees_image=True,
        passes=passes,
    )


def slopes(loss: Tensor, game: AdversarialSegmentation) -> list[Tensor]:
    weights = [*game.segmenter.parameters(), *game.discriminator.parameters()]
    return list(torch.autograd.grad(loss, weights))


@pytest.mark.parametrize("kind", GAMES)
def test_without_batch_statistics_a_joint_pass_gives_the_same_in_half_the_passes(
    kind: type[AdversarialSegmentation],
) -> None:
    separate = new_game(kind, judge(nn.GroupNorm(2, 4)), "separate")
    joint = copy.deepcopy(separate)
    joint.passes = "joint"
    counts = {"separate": 0, "joint": 0}
    batch = draw_batch()
    for game in (separate, joint):

        def count(*_: Any, name: str = game.passes) -> None:
            counts[name] += 1

        game.discriminator.register_forward_hook(count)
    pairs = [game.verdicts(batch) for game in (separate, joint)]
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other)
    assert counts == {"separate": 2, "joint": 1}
    losses = [game.discriminator_objective(batch) for game in (separate, joint)]
    torch.testing.assert_close(*losses)
    for one, other in zip(
        *(slopes(loss, game) for loss, game in zip(losses, (separate, joint), strict=True)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", GAMES)
def test_with_batch_statistics_a_joint_pass_normalises_both_sides_together(
    kind: type[AdversarialSegmentation],
) -> None:
    game = new_game(kind, judge(nn.BatchNorm2d(4)), "joint")
    batch = draw_batch()
    real, fake = game.contestants(batch)
    seen = [
        torch.cat([real, game.images_of(batch, "real")], dim=1),
        torch.cat([fake, game.images_of(batch, "fake")], dim=1),
    ]
    layers: Any = game.discriminator
    maps = layers[0](torch.cat(seen))
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False)
    standard = (maps - mean.view(-1, 1, 1)) / (variance.view(-1, 1, 1) + 1e-5).sqrt()
    logits = layers[2:](standard)
    expected = softplus(-logits[: len(real)]).mean() + softplus(logits[len(real) :]).mean()
    torch.testing.assert_close(game.discriminator_loss(batch), expected)
    game.passes = "separate"
    assert not torch.isclose(game.discriminator_loss(batch), expected)


def sampled() -> CellSupernet:
    options: dict[str, Any] = {"channels": 4, "layout": "NR", "nodes": 2, "normalisation": "group"}
    return CellSupernet(CLASSES + 1, single_path=True, **options)


@pytest.mark.parametrize("passes", ["separate", "joint"])
def test_real_and_fake_of_a_loss_meet_one_path_and_the_next_loss_another(passes: str) -> None:
    game = new_game(TruthAgainstPrediction, sampled(), passes)
    batch = draw_batch()
    real, _ = game.contestants(batch)
    with torch.no_grad():
        pairs = [game.judge_both(real, real, batch) for _ in range(4)]
    for one, other in pairs:
        torch.testing.assert_close(one, other)
    assert len({float(one.sum()) for one, _ in pairs}) > 1


def test_labelled_and_unlabelled_images_of_a_segmenters_loss_meet_one_path() -> None:
    game = new_game(TruthAgainstPrediction, sampled(), "separate")
    game.pressure = Pressure(1.0, -1.0)
    game.criterion = lambda logits, batch: logits.sum() * 0.0
    batch = draw_batch()
    batch = batch._replace(unlabelled=batch.images)
    for _ in range(3):
        assert game.segmenter_loss(batch).item() == pytest.approx(0.0, abs=1e-12)
    fooling = ADVERSARIAL_LOSSES["non-saturating"].fooling(game.verdicts(batch)[1])
    assert float(fooling) > 0.01
