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


def check_game(game: GameSettings) -> None:
    """Refuse a cue that the game has nothing to show under.

    Raises:
        UsageError: truths are to be changed where none are shown.
    """
    if game.game == "annotated-unannotated" and game.cue in ("smoothed", "noised"):
        raise UsageError(
            f"--cue {game.cue} changes true masks, and --game annotated-unannotated shows none: "
            "choose probabilities or straight-through."
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
        criterion=criterion,
    )
