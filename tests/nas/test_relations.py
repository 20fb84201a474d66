"""Weights, beginning and steps over the epochs, by their published formulas."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.games.adversarial import Pressure
from nas.relations import Moment, Relations
from nas.settings import GameSettings


def test_by_default_the_weight_is_constant_and_both_move_once() -> None:
    for epoch in (1, 7, 50):
        moment = Relations(0.01, GameSettings()).at(epoch)
        assert moment == Moment(Pressure(0.01), 1)
        assert moment.order == ("segmenter", "discriminator")


@given(st.integers(1, 400), st.integers(1, 500), st.floats(0, 2))
@settings(max_examples=25, deadline=None)
def test_the_weight_grows_as_in_nelsons_equation_4(
    epoch: int, increment: int, start: float
) -> None:
    relations = Relations(start, GameSettings(adversarial_ramp=increment))
    assert relations.at(epoch).pressure.adversarial == pytest.approx(start + epoch / increment)


def test_dans_weight_goes_from_a_tenth_to_one() -> None:
    relations = Relations(0.1, GameSettings(adversarial_ramp=100))
    assert relations.at(90).pressure.adversarial == pytest.approx(1.0)


def test_before_the_beginning_only_the_segmenter_moves() -> None:
    relations = Relations(0.1, GameSettings(adversarial_start=20, unlabelled_weight=0.5))
    assert relations.at(19) == Moment(Pressure(0.0), 0)
    assert relations.at(19).order == ("segmenter",)
    assert relations.at(20) == Moment(Pressure(0.1, 0.5), 1)


def test_steps_of_the_discriminator_follow_each_of_the_segmenter() -> None:
    moment = Relations(0.1, GameSettings(discriminator_steps=3)).at(1)
    assert moment.order == ("segmenter", "discriminator", "discriminator", "discriminator")


def test_mixed_unlabelled_images_come_in_beside_the_labelled_ones() -> None:
    game = GameSettings(unlabelled_weight=0.2, unlabelled_start=5)
    assert Relations(0.1, game).at(4) == Moment(Pressure(0.1), 1)
    assert Relations(0.1, game).at(5) == Moment(Pressure(0.1, 0.2), 1)


def test_in_stages_they_replace_them_and_the_discriminator_rests() -> None:
    game = GameSettings(unlabelled_weight=0.2, unlabelled_start=5, unlabelled_order="stages")
    assert Relations(0.1, game).at(4) == Moment(Pressure(0.1), 1)
    moment = Relations(0.1, game).at(5)
    assert moment.pressure == Pressure(0.0, 0.2, supervised=False)
    assert moment.order == ("segmenter",)
