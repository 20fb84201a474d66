"""Options that would say nothing are refused on the command line and passed over in files."""

from __future__ import annotations

import pytest

from nas.cli.common import refuse_unused
from nas.errors import UsageError
from nas.settings import (
    AdversarySettings,
    AugmentationSettings,
    DataSettings,
    GameSettings,
    LossSettings,
    PatchSettings,
    RetrainSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.supernets import SEARCHED_SEGMENTER
from nas.unused import unused_in_retraining, unused_in_search


@pytest.mark.parametrize(
    ("backbone", "space", "unused", "used"),
    [
        (
            "unet",
            "cell",
            ("fcn_blocks", "flexvgg_blocks"),
            ("layout", "normalisation", "kernels"),
        ),
        (
            "unet",
            "flexvgg",
            ("fcn_taps", "operations", "kernels"),
            ("flexvgg_features", "examine_every"),
        ),
        (
            SEARCHED_SEGMENTER,
            "none",
            ("layout", "examine_every", "discriminator_lr", "kernels"),
            ("fcn_taps",),
        ),
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


@pytest.mark.parametrize("capture", [False, True])
def test_streams_are_of_replays(capture: bool) -> None:
    run = RunSettings(capture=capture, streams=2)
    assert ("streams" in unused_in_search(SearchSettings(run=run))) != capture
    assert ("streams" in unused_in_retraining(RetrainSettings(run=run))) != capture


@pytest.mark.parametrize(("schedule", "unused"), [("plateau", True), ("cosine", False)])
def test_a_search_that_looks_at_every_score_leaves_none_out(schedule: str, unused: bool) -> None:
    settings = SearchSettings(training=TrainingSettings(lr_schedule=schedule))
    assert ("validate_every" in unused_in_search(settings)) == unused


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


PLAIN = {"adversary": AdversarySettings(discriminator="resnet10")}


@pytest.mark.parametrize(
    ("tables", "names"),
    [
        ({"training": TrainingSettings(optimizer="sgd")}, {"sgd_momentum"}),
        ({"training": TrainingSettings(lr_schedule="decay")}, {"lr_factor", "lr_every"}),
        (
            {"training": TrainingSettings(lr_schedule="plateau")},
            {"lr_factor", "lr_patience", "lr_min", "monitor"},
        ),
        ({"training": TrainingSettings(early_stopping=3)}, {"monitor"}),
        (
            {"loss": LossSettings(triplet_weight=0.1)},
            {"triplets", "triplet_margin", "triplet_positives"},
        ),
        ({"loss": LossSettings(pretrain_epochs=2)}, {"pretrain_loss", "triplets"}),
        ({"loss": LossSettings(border_weight=2)}, {"border_sigma"}),
        ({"augmentation": AugmentationSettings(elastic=0.5)}, {"elastic_alpha", "elastic_sigma"}),
        ({"augmentation": AugmentationSettings(curriculum=("flips",))}, {"curriculum_iou"}),
        ({"game": GameSettings(cue="noised")}, {"cue_strength"}),
        (
            {"game": GameSettings(unlabelled_weight=0.1)},
            {"unlabelled_start", "unlabelled_order"},
        ),
        ({"data": DataSettings(clahe_clip=0.01)}, {"clahe_tiles"}),
    ],
)
def test_a_setting_is_used_once_what_it_is_about_is_asked_for(
    tables: dict[str, object], names: set[str]
) -> None:
    assert names <= set(unused_in_retraining(RetrainSettings(**PLAIN)))
    assert not names & set(unused_in_retraining(RetrainSettings(**PLAIN, **tables)))


def test_weights_of_pixels_say_nothing_beside_dice() -> None:
    found = unused_in_retraining(RetrainSettings(**PLAIN, loss=LossSettings(loss="dice")))
    assert {"class_weights", "border_weight"} <= set(found)


def test_every_name_is_a_setting() -> None:
    for settings, find in (
        (RetrainSettings(), unused_in_retraining),
        (SearchSettings(space=SpaceSettings(space="none")), unused_in_search),
    ):
        tables = [getattr(settings, name) for name in settings.__struct_fields__]
        known = {name for table in tables for name in getattr(table, "__struct_fields__", ())}
        assert set(find(settings)) <= known


@pytest.mark.parametrize(
    ("generator", "unused", "used"),
    [
        ("deconvolution", {"discriminator_input", "game"}, {"discriminator_lr", "noise"}),
        ("none", {"discriminator_lr", "noise", "realness_weight"}, {"patches"}),
    ],
)
def test_on_patches_the_generator_has_the_discriminators_rate(
    generator: str, unused: set[str], used: set[str]
) -> None:
    settings = RetrainSettings(
        backbone="patches:dc_net?width=4",
        adversary=AdversarySettings(discriminator="none"),
        patches=PatchSettings(generator=generator),
    )
    found = set(unused_in_retraining(settings))
    assert unused <= found
    assert not used & found
    assert "patches" in unused_in_retraining(RetrainSettings(**PLAIN))
