"""The faults of a discriminator: where it leaves its healthy band, in sentences for a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.health import Health


@dataclass(frozen=True)
class Band:
    """The limits within which nothing is said.

    Attributes:
        verdicts: accuracies are judged from so many on each side. A discriminator that is right on
            4 of 5 maps seems to be right on all in 17 % of looks at 4 real and 4 fake ones, in 3 %
            at 8 and 8.
        winning: a discriminator that is right oftener, on real and on fake, has won. Its verdicts
            are then the same for better and for worse predictions.
        blind: a mean accuracy below this is that of guessing, 1/2, with some tolerance for chance.
        one_sided: a verdict given oftener, to real and to fake, is given always.
        gradient_ratio: a gradient that is weaker, in parts of that of the segmentation loss, moves
            nothing: with Dong's weight of 0.01 it is one millionth.
        outweighing: an adversarial term whose gradient, with its weight, is stronger, in parts of
            that of the segmentation loss, leads the segmenter; it is meant to correct.
        softness: softness may decide alone so much oftener than shape. 0 is where both count alike;
            accuracy on real + accuracy on fake - 1 where shape counts nothing, so that a
            discriminator right on 5 of 8 maps of each side can reach, not pass, this.
        leaked_gradient: nothing may be left from an earlier step.
    """

    verdicts: int = 8
    winning: float = 0.95
    blind: float = 0.55
    one_sided: float = 0.95
    gradient_ratio: float = 1e-4
    outweighing: float = 1.0
    softness: float = 0.25
    leaked_gradient: float = 0.0


HEALTHY = Band()


def _wins(health: Health, band: Band) -> str | None:
    if health.verdicts < band.verdicts:
        return None
    if min(health.real_accuracy, health.fake_accuracy) <= band.winning:
        return None
    return (
        f"The discriminator wins outright: it is right on {_both(health)}. Better predictions are "
        "called fake like worse ones, so its verdict is no guide to the segmenter; the gradient of "
        f"the adversarial term is {health.gradient_ratio:.2g} of that of the segmentation loss. "
        "Try a lower --discriminator-lr, a later --adversarial-start or --cue straight-through."
    )


def _says_one_thing(health: Health, band: Band) -> str | None:
    called_real = min(health.real_accuracy, 1 - health.fake_accuracy)
    called_fake = min(1 - health.real_accuracy, health.fake_accuracy)
    if health.verdicts < band.verdicts or max(called_real, called_fake) <= band.one_sided:
        return None
    verdict = "real" if called_real > called_fake else "fake"
    return (
        f'The discriminator calls everything "{verdict}": it is right on {_both(health)}. It tells '
        "nothing apart, and what it teaches the segmenter is arbitrary. Try another "
        "--discriminator-lr, --discriminator-steps 2 or --adversarial-loss hinge."
    )


def _is_blind(health: Health, band: Band) -> str | None:
    if health.verdicts < band.verdicts or health.accuracy >= band.blind:
        return None
    if _says_one_thing(health, band):
        return None
    return (
        f"The discriminator is blind: it is right on {_both(health)}, and guessing gives 50 %. "
        "Either fake maps have become like real ones, which the scores of the segmenter would "
        "show, or it does not learn: then try a higher --discriminator-lr, --discriminator-steps 2 "
        "or another discriminator."
    )


def _gives_no_gradient(health: Health, band: Band) -> str | None:
    if health.gradient_ratio >= band.gradient_ratio:
        return None
    return (
        "Hardly any gradient reaches the segmenter from the discriminator: that of the adversarial "
        f"term is {health.gradient_ratio:.2g} of that of the segmentation loss, before "
        "--adversarial-weight. The discriminator is trained for nothing. Try --adversarial-loss "
        "hinge, whose gradient does not fade when fakes are well recognised, a lower "
        "--discriminator-lr or another discriminator."
    )


def _outweighs(health: Health, band: Band) -> str | None:
    if health.weighted_ratio <= band.outweighing:
        return None
    return (
        "The adversarial term outweighs the segmentation loss: at its weight of "
        f"{health.adversarial_weight:.2g} its gradient is {health.weighted_ratio:.2g} times as "
        "strong, so that the segmenter learns to please the discriminator rather than to segment. "
        "Try a lower --adversarial-weight."
    )


def _sees_softness_alone(health: Health, band: Band) -> str | None:
    if health.verdicts < band.verdicts or health.softness <= band.softness:
        return None
    return (
        "The discriminator tells real from fake by softness, not by shape: it is right on "
        f"{_both(health)}, but with the softness of the two sides exchanged on "
        f"{health.softened_real_accuracy:.0%} and {health.hardened_fake_accuracy:.0%}. It teaches "
        "the segmenter to be sure, and nothing about shapes. Try --cue straight-through, which "
        "hardens what is seen of predictions."
    )


def _is_shown_other_classes(health: Health, band: Band) -> str | None:
    if not health.inverted:
        return None
    shown = ", ".join(
        f"channel {channel} shows class {shown}"
        for channel, shown in enumerate(health.shown_classes)
        if shown != channel
    )
    return (
        f"The discriminator is shown fake maps with the classes in another order: {shown}. That "
        "alone tells real from fake, and its gradient works against the segmentation loss. "
        "--game truth-prediction shows both in the order of the labels."
    )


def _keeps_old_gradients(health: Health, band: Band) -> str | None:
    if health.leaked_gradient <= band.leaked_gradient:
        return None
    return (
        "The discriminator's gradients leak from step to step: between steps one of norm "
        f"{health.leaked_gradient:.2g} is left. It moves along the sum of old gradients, those of "
        "the segmenter's loss included. Clear them before each step; --game truth-prediction does."
    )


def _both(health: Health) -> str:
    return f"{health.real_accuracy:.0%} of real and {health.fake_accuracy:.0%} of fake verdicts"


FAULTS: dict[str, Callable[[Health, Band], str | None]] = {
    "wins": _wins,
    "says one thing": _says_one_thing,
    "blind": _is_blind,
    "no gradient": _gives_no_gradient,
    "outweighs": _outweighs,
    "softness": _sees_softness_alone,
    "inverted": _is_shown_other_classes,
    "leak": _keeps_old_gradients,
}
"""By name, what gives a sentence where the fault is there."""


def faults(health: Health, band: Band = HEALTHY) -> dict[str, str]:
    """The faults of a discriminator by name, each in sentences for a person: seen, meaning, advice.

    The names stay the same from epoch to epoch while the numbers in the sentences change. Empty
    where the discriminator is within the band.
    """
    sentences = {name: fault(health, band) for name, fault in FAULTS.items()}
    return {name: sentence for name, sentence in sentences.items() if sentence is not None}
