"""Each game by its name, with what the settings say of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nas.data.batches import Batch
from nas.errors import UsageError
from nas.games.adversarial import Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated
from nas.games.nelson_as_coded import NelsonAsCoded, cross_entropy_of_probabilities
from nas.games.segmentation import Segmentation
from nas.games.table import GAMES, check_game, new_game
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.losses.dice import dice_loss
from nas.settings import GameSettings, LossSettings

KINDS = {
    "truth-prediction": TruthAgainstPrediction,
    "annotated-unannotated": AnnotatedAgainstUnannotated,
    "nelson-as-coded": NelsonAsCoded,
}
LABELS = torch.randint(0, 2, (2, 6, 5))
BATCH = Batch(torch.rand(2, 1, 6, 5), LABELS, ("a", "b"))


@pytest.mark.parametrize("name", KINDS)
def test_games_by_name(name: str) -> None:
    assert set(GAMES) == set(KINDS)
    segmenter, discriminator = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)
    settings = GameSettings(game=name, adversarial_loss="hinge", unlabelled_weight=0.3)
    game = new_game(segmenter, discriminator, 2, True, 0.2, settings, LossSettings())
    assert type(game) is KINDS[name]
    assert game.adversarial.name == "hinge"
    assert game.pressure == Pressure(0.2, 0.3)
    assert game.sees_image


def test_the_segmentation_loss_is_that_of_the_settings() -> None:
    segmenter = nn.Conv2d(1, 2, 1)
    game = new_game(segmenter, None, 2, False, 0.0, GameSettings(), LossSettings(loss="dice"))
    assert type(game) is Segmentation
    assert torch.equal(game.segmenter_loss(BATCH), dice_loss(segmenter(BATCH.images), LABELS))


def test_nelsons_code_has_the_cross_entropy_of_its_own() -> None:
    segmenter = nn.Conv2d(1, 2, 1)
    settings = GameSettings(game="nelson-as-coded")
    game = new_game(segmenter, nn.Conv2d(2, 1, 1), 2, False, 0.0, settings, LossSettings())
    expected = cross_entropy_of_probabilities(segmenter(BATCH.images), BATCH)
    assert torch.equal(game.segmentation_loss(BATCH), expected)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cue": "smoothed"}, "--cue smoothed"),
        ({"cue": "noised"}, "--cue noised"),
        ({"unlabelled_weight": 0.1}, "--unlabelled-weight"),
        ({"unlabelled_start": 3}, "--unlabelled-start"),
        ({"unlabelled_order": "stages"}, "--unlabelled-order"),
    ],
)
def test_what_dans_game_has_no_use_for_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_game(GameSettings(game="annotated-unannotated", **changed), 9)
    check_game(GameSettings(game="annotated-unannotated", cue="straight-through"), 9)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"adversarial_start": 10}, "--adversarial-start 10"),
        ({"unlabelled_start": 10}, "--unlabelled-start 10"),
        ({"unlabelled_start": 1, "unlabelled_order": "stages"}, "before it has learnt anything"),
        (
            {"adversarial_start": 4, "unlabelled_start": 4, "unlabelled_order": "stages"},
            "before it has learnt anything",
        ),
    ],
)
def test_parts_that_would_never_take_place_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_game(GameSettings(unlabelled_weight=0.1, **changed), 9)
    check_game(
        GameSettings(unlabelled_weight=0.1, unlabelled_start=5, unlabelled_order="stages"), 9
    )


def test_a_discriminator_that_rests_is_in_evaluation_mode() -> None:
    discriminator = nn.Sequential(nn.Conv2d(2, 1, 1), nn.BatchNorm2d(1))
    game = new_game(
        nn.Conv2d(1, 2, 1), discriminator, 2, False, 0.1, GameSettings(), LossSettings()
    )
    assert isinstance(game, TruthAgainstPrediction)
    game.enter(Pressure(0.0, 0.3), learns=False)
    before = discriminator[1].running_mean.clone()
    game.segmenter_loss(BATCH._replace(unlabelled=BATCH.images))
    assert torch.equal(discriminator[1].running_mean, before)
    game.enter(Pressure(0.3), learns=True)
    game.segmenter_loss(BATCH)
    assert not torch.equal(discriminator[1].running_mean, before)
