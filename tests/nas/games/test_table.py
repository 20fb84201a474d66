"""Each game by its name, with what the settings say of it."""

from __future__ import annotations

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


@pytest.mark.parametrize("cue", ["smoothed", "noised"])
def test_a_cue_of_truths_is_refused_where_none_are_shown(cue: str) -> None:
    with pytest.raises(UsageError, match=f"--cue {cue}"):
        check_game(GameSettings(game="annotated-unannotated", cue=cue))
    check_game(GameSettings(cue=cue))
    check_game(GameSettings(game="annotated-unannotated", cue="straight-through"))
