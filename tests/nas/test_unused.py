"""Options that would say nothing are refused on the command line and passed over in files."""

from __future__ import annotations

import pytest

from nas.cli.common import refuse_unused
from nas.errors import UsageError
from nas.settings import AdversarySettings, RetrainSettings, SearchSettings, SpaceSettings
from nas.supernets import SEARCHED_SEGMENTER
from nas.unused import unused_in_retraining, unused_in_search


@pytest.mark.parametrize(
    ("backbone", "space", "unused", "used"),
    [
        ("unet", "cell", ("fcn_blocks", "flexvgg_blocks"), ("layout", "normalisation")),
        ("unet", "flexvgg", ("fcn_taps", "operations"), ("flexvgg_features", "objective")),
        (SEARCHED_SEGMENTER, "none", ("layout", "objective", "discriminator_lr"), ("fcn_taps",)),
        (SEARCHED_SEGMENTER, "cell", ("flexvgg_depth",), ("fcn_depth", "adversarial_weight")),
    ],
)
def test_what_a_search_does_not_use(
    backbone: str, space: str, unused: tuple[str, ...], used: tuple[str, ...]
) -> None:
    settings = SearchSettings(backbone=backbone, space=SpaceSettings(space=space))
    found = unused_in_search(settings)
    assert set(unused) <= set(found)
    assert not set(used) & set(found)


@pytest.mark.parametrize(("discriminator", "unused"), [("none", True), ("resnet10", False)])
def test_what_a_retraining_does_not_use(discriminator: str, unused: bool) -> None:
    settings = RetrainSettings(adversary=AdversarySettings(discriminator=discriminator))
    found = unused_in_retraining(settings)
    assert ("discriminator_lr" in found) == ("adversarial_weight" in found) == unused


@pytest.mark.parametrize(
    "arguments", [["--fcn-blocks", "3"], ["--fcn_blocks=3"], ["--epochs", "2", "--fcn-blocks=3"]]
)
def test_only_what_is_typed_is_refused(arguments: list[str]) -> None:
    refuse_unused({"fcn_taps": "is about another"}, arguments)
    with pytest.raises(UsageError, match=r"--fcn-blocks is about another: leave one of them out\."):
        refuse_unused({"fcn_blocks": "is about another"}, arguments)
