"""Each fault is named where it is, alone, with advice that can be followed."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest

from nas.faults import FAULTS, Band, faults
from nas.health import Health
from nas.settings import RetrainSettings

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
ILL = {
    "wins": replace(SOUND, real_accuracy=0.97, fake_accuracy=0.97),
    "says one thing": replace(SOUND, real_accuracy=0.02, fake_accuracy=0.97),
    "blind": replace(SOUND, real_accuracy=0.6, fake_accuracy=0.45),
    "no gradient": replace(SOUND, segmenter_gradient=1e-5),
    "outweighs": replace(SOUND, segmenter_gradient=5.0, adversarial_weight=0.3),
    "softness": replace(SOUND, softened_real_accuracy=0.3, hardened_fake_accuracy=0.3),
    "inverted": replace(SOUND, shown_classes=(0, 2, 1)),
    "leak": replace(SOUND, leaked_gradient=0.25),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_alone(name: str) -> None:
    assert faults(SOUND) == {}
    assert list(faults(ILL[name])) == [name]


@pytest.mark.parametrize("name", ["wins", "says one thing", "blind", "softness"])
def test_shares_of_few_verdicts_are_left_to_chance(name: str) -> None:
    assert faults(replace(ILL[name], verdicts=7)) == {}
    assert list(faults(replace(ILL[name], verdicts=8))) == [name]


@pytest.mark.parametrize(
    ("name", "wider"),
    [
        ("wins", Band(winning=0.98)),
        ("says one thing", Band(one_sided=0.98, blind=0.4)),
        ("blind", Band(blind=0.5)),
        ("no gradient", Band(gradient_ratio=1e-6)),
        ("outweighs", Band(outweighing=1.6)),
        ("softness", Band(softness=0.5)),
        ("leak", Band(leaked_gradient=0.3)),
    ],
)
def test_a_wider_band_says_less(name: str, wider: Band) -> None:
    assert faults(ILL[name], wider) == {}


def test_advice_names_options_that_there_are_with_values_that_they_take() -> None:
    table = msgspec.to_builtins(RetrainSettings(), enc_hook=str)
    home = {
        option: group
        for group, options in table.items()
        if isinstance(options, dict)
        for option in options
    }
    advice = " ".join(sentence for health in ILL.values() for sentence in faults(health).values())
    found = re.findall(r"--([a-z-]+)(?: (straight-through|hinge|truth-prediction|\d))?", advice)
    assert len(found) > 10
    for name, value in found:
        option = name.replace("-", "_")
        assert option in home
        if value:
            given = {home[option]: {option: int(value) if value.isdigit() else value}}
            msgspec.convert(given, RetrainSettings)
