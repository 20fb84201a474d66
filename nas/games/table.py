"""The game that the settings describe."""

from __future__ import annotations

from torch import nn

from nas.criteria import segmentation_criterion
from nas.cues import new_cue
from nas.errors import UsageError
from nas.games.adversarial import AdversarialSegmentation, Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated
from nas.games.nelson_as_coded import NelsonAsCoded, cross_entropy_of_probabilities
from nas.games.segmentation import Segmentation
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.losses.adversarial import ADVERSARIAL_LOSSES
from nas.settings import GameSettings, LossSettings

GAMES: dict[str, type[AdversarialSegmentation]] = {
    "truth-prediction": TruthAgainstPrediction,
    "annotated-unannotated": AnnotatedAgainstUnannotated,
    "nelson-as-coded": NelsonAsCoded,
}


def check_game(game: GameSettings, epochs: int) -> None:
    """Refuse settings under which a part of the game never takes place.

    Args:
        game: the settings.
        epochs: of the training.

    Raises:
        UsageError: with what contradicts what.
    """
    if game.adversarial_start > epochs:
        raise UsageError(
            f"--adversarial-start {game.adversarial_start} is behind the last of {epochs} epochs: "
            "the discriminator would never move."
        )
    if game.game == "annotated-unannotated":
        _check_annotated(game)
    elif game.unlabelled_weight:
        _check_unlabelled(game, epochs)


def _check_annotated(game: GameSettings) -> None:
    if game.cue in ("smoothed", "noised"):
        raise UsageError(
            f"--cue {game.cue} changes true masks, and --game annotated-unannotated shows none: "
            "choose probabilities or straight-through."
        )
    default = GameSettings()
    for name in ("unlabelled_weight", "unlabelled_start", "unlabelled_order"):
        if getattr(game, name) != getattr(default, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is about truth-prediction: annotated-unannotated "
                "plays with unlabelled images throughout, by --adversarial-weight."
            )


def _check_unlabelled(game: GameSettings, epochs: int) -> None:
    if game.unlabelled_start > epochs:
        raise UsageError(
            f"--unlabelled-start {game.unlabelled_start} is behind the last of {epochs} epochs: "
            "the unlabelled images would never come in."
        )
    if game.unlabelled_order == "stages" and game.unlabelled_start <= game.adversarial_start:
        raise UsageError(
            f"--unlabelled-order stages freezes the discriminator from epoch "
            f"{game.unlabelled_start} on, before it has learnt anything: raise --unlabelled-start "
            f"above --adversarial-start {game.adversarial_start}."
        )


def new_game(
    segmenter: nn.Module,
    discriminator: nn.Module | None,
    classes: int,
    sees_image: bool,
    weight: float,
    game: GameSettings,
    loss: LossSettings,
) -> Segmentation:
    """Segmentation alone, or against the discriminator where there is one.

    Args:
        segmenter: images to logits.
        discriminator: class maps, with the images where it sees them, to verdicts.
        classes: K, background included.
        sees_image: whether the discriminator sees the image.
        weight: of the adversarial term.
        game: what they play.
        loss: the segmentation loss.
    """
    criterion = segmentation_criterion(loss)
    if discriminator is None:
        return Segmentation(segmenter, criterion=criterion)
    if game.game == "nelson-as-coded":
        criterion = cross_entropy_of_probabilities
    return GAMES[game.game](
        segmenter,
        discriminator,
        classes,
        Pressure(weight, game.unlabelled_weight),
        sees_image,
        ADVERSARIAL_LOSSES[game.adversarial_loss],
        new_cue(game.cue, game.cue_strength),
        passes=game.passes,
        criterion=criterion,
    )
