"""How segmenter and discriminator are weighed against each other over the epochs (Nelson 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

from nas.games.adversarial import Pressure
from nas.settings import GameSettings


def plays_with_unlabelled(game: GameSettings) -> bool:
    """Whether the game has a use for images without masks."""
    return game.game == "annotated-unannotated" or game.unlabelled_weight > 0


@dataclass(frozen=True)
class Moment:
    """What an epoch asks of both players.

    Attributes:
        pressure: of the discriminator on the segmenter.
        discriminator_steps: steps of the discriminator for each one of the segmenter; 0 outside
            the adversarial training.
    """

    pressure: Pressure
    discriminator_steps: int

    @property
    def is_judged(self) -> bool:
        """Whether the discriminator has a say, learning or not."""
        return self.pressure.adversarial > 0 or self.pressure.unlabelled > 0

    @property
    def order(self) -> tuple[str, ...]:
        """The players of a step, in turn."""
        return ("segmenter", *["discriminator"] * self.discriminator_steps)


@dataclass(frozen=True)
class Relations:
    """Importance weight, beginning and steps of the adversarial training.

    Attributes:
        weight: lambda_0, the adversarial weight at the beginning.
        game: the settings of the game.
    """

    weight: float
    game: GameSettings

    def at(self, epoch: int) -> Moment:
        """What an epoch, counted from 1, asks of both players.

        lambda(epoch) = lambda_0 + epoch / I_lambda (Nelson 2022, Eq. 4), from
        ``adversarial_start`` on; ``unlabelled_weight`` from ``unlabelled_start`` on. In stages
        (Lalwani) the latter ends what went on with labelled images, and the discriminator rests.
        """
        game = self.game
        if epoch < game.adversarial_start:
            return Moment(Pressure(0.0), 0)
        with_unlabelled = epoch >= game.unlabelled_start
        unlabelled = game.unlabelled_weight if with_unlabelled else 0.0
        if with_unlabelled and unlabelled and game.unlabelled_order == "stages":
            return Moment(Pressure(0.0, unlabelled, supervised=False), 0)
        ramp = epoch / game.adversarial_ramp if game.adversarial_ramp else 0.0
        return Moment(Pressure(self.weight + ramp, unlabelled), game.discriminator_steps)
