"""Retraining against nothing, a named network and a genotype: equal starts, the best kept."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from nas.errors import RunError, UsageError
from nas.games.adversarial import AdversarialSegmentation, Pressure
from nas.games.annotated import AnnotatedAgainstUnannotated
from nas.games.nelson_as_coded import NelsonAsCoded, UnclearedGradients
from nas.preparation import Data
from nas.retrain import RetrainStage, check_settings, resolve_adversary
from nas.runs import RunFolder
from nas.settings import (
    AdversarySettings,
    AugmentationSettings,
    DataSettings,
    GameSettings,
    LossSettings,
    RetrainSettings,
    RunSettings,
    TrainingSettings,
)
from nas.tracking import Tracker
from search_spaces import genotypes
from search_spaces.cell_genotype import Cell, CellGenotype, Edge, Network
from search_spaces.description import Provenance

NONE = AdversarySettings(discriminator="none")
RESNET = AdversarySettings(discriminator="resnet10?width=4")


@pytest.fixture
def genotype(tmp_path: Path) -> Path:
    """A small genotype of a search on another split."""
    return write_genotype(tmp_path / "cells.json")


def write_genotype(path: Path, split_hash: str | None = "other", **network: Any) -> Path:
    cell = Cell(((Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),), (2,))
    shape = {"channels": 2, "layout": "NR", **network}
    found = CellGenotype(
        cell, cell, Network(**shape), provenance=Provenance(split_hash=split_hash, backbone="unet")
    )
    genotypes.write(found, path)
    return path


@pytest.fixture
def new_stage(tmp_path: Path, discs: Callable[..., Data]) -> Callable[..., RetrainStage]:
    def make(
        adversary: AdversarySettings,
        data: Data | None = None,
        seed: int = 0,
        name: str = "run",
        tables: dict[str, Any] | None = None,
        **training: Any,
    ) -> RetrainStage:
        settings = RetrainSettings(
            backbone="unet?width=2&depth=1",
            adversary=adversary,
            training=TrainingSettings(**{"epochs": 4, **training}),
            run=RunSettings(seed=seed, device="cpu", threads=1),
            **(tables or {}),
        )
        return RetrainStage(settings, RunFolder(tmp_path / name), data or discs())

    return make


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in module.parameters()]).clone()


def discriminator(stage: RetrainStage) -> torch.nn.Module:
    assert isinstance(stage.game, AdversarialSegmentation)
    return stage.game.discriminator


def test_segmenters_of_a_seed_start_equal_whatever_they_meet(
    new_stage: Callable[..., RetrainStage], genotype: Path
) -> None:
    adversaries = [
        NONE,
        RESNET,
        AdversarySettings(discriminator="resnet18?width=2"),
        AdversarySettings(genotype=genotype),
        AdversarySettings(discriminator=f"{genotype}?channels=3", discriminator_input="map+image"),
    ]
    stages = [new_stage(each) for each in adversaries]
    first, *others = [flat(stage.game.segmenter) for stage in stages]
    assert all(torch.equal(first, other) for other in others)
    orders = {stage._batches.order(2) for stage in stages}
    assert len(orders) == 1
    assert not torch.equal(first, flat(new_stage(NONE, seed=1).game.segmenter))


def test_without_a_discriminator_only_the_segmenter_trains(
    new_stage: Callable[..., RetrainStage],
) -> None:
    stage = new_stage(NONE)
    assert not isinstance(stage.game, AdversarialSegmentation)
    assert set(stage.step(0, 0)) == {"segmenter_loss"}
    assert "discriminator" not in stage.state()


def test_an_adversary_of_no_weight_changes_nothing_for_the_segmenter(
    new_stage: Callable[..., RetrainStage], genotype: Path
) -> None:
    alone = new_stage(NONE)
    beside = new_stage(AdversarySettings(genotype=genotype), adversarial_weight=0.0)
    against = new_stage(AdversarySettings(genotype=genotype), adversarial_weight=1.0)
    for stage in (alone, beside, against):
        for step in range(stage.steps):
            stage.step(0, step)
    assert torch.equal(flat(alone.game.segmenter), flat(beside.game.segmenter))
    assert not torch.equal(flat(alone.game.segmenter), flat(against.game.segmenter))


def test_both_sides_train(new_stage: Callable[..., RetrainStage]) -> None:
    stage = new_stage(RESNET)
    before = flat(stage.game.segmenter), flat(discriminator(stage))
    assert set(stage.step(0, 0)) == {"segmenter_loss", "discriminator_loss"}
    assert not torch.equal(flat(stage.game.segmenter), before[0])
    assert not torch.equal(flat(discriminator(stage)), before[1])


def test_state_comes_back_and_the_rest_is_the_same(
    new_stage: Callable[..., RetrainStage],
) -> None:
    first, second = new_stage(RESNET), new_stage(RESNET)
    first.step(0, 0)
    first._best = 0.3
    second.restore(copy.deepcopy(first.state()))
    assert second._best == 0.3
    assert first.step(0, 1) == second.step(0, 1)
    assert torch.equal(flat(first.game.segmenter), flat(second.game.segmenter))
    assert torch.equal(flat(discriminator(first)), flat(discriminator(second)))


def finish(stage: RetrainStage, scores: list[float]) -> list[int]:
    """End epochs with these validation scores; after each, the epoch that is kept."""
    kept = []
    with (
        patch("nas.retrain.draw_retraining"),
        patch("nas.retrain.validate") as scored,
        Tracker(stage.folder, say=lambda line: None) as tracker,
    ):
        for epoch, value in enumerate(scores):
            scored.return_value = {"mean_iou": value, "foreground_iou": value, "val_loss": value}
            stage.finish_epoch(epoch, tracker)
            state = stage.folder.load_checkpoint("segmenter", "segmenter")
            kept.append(state["epoch"])
    return kept


def test_the_best_epoch_on_the_validation_images_is_kept(
    new_stage: Callable[..., RetrainStage],
) -> None:
    assert finish(new_stage(NONE), [0.0, 0.3, 0.2, 0.3, 0.4]) == [1, 2, 2, 2, 5]


def test_a_resumed_run_remembers_the_best(new_stage: Callable[..., RetrainStage]) -> None:
    first = new_stage(NONE)
    finish(first, [0.5])
    second = new_stage(NONE)
    second.restore(first.state())
    assert finish(second, [0.4]) == [1]


def test_without_validation_images_the_last_epoch_is_kept(
    new_stage: Callable[..., RetrainStage], discs: Callable[..., Data]
) -> None:
    stage = new_stage(NONE, discs(val=0))
    assert finish(stage, [0.5, 0.4, 0.3]) == [1, 2, 3]
    assert "mean_iou" not in stage.finish_epoch(3, Tracker(stage.folder))


def test_the_kept_weights_are_those_of_that_epoch(new_stage: Callable[..., RetrainStage]) -> None:
    stage = new_stage(NONE)
    finish(stage, [0.5])
    kept = {name: value.clone() for name, value in stage.game.segmenter.state_dict().items()}
    stage.step(1, 0)
    with patch("nas.retrain.draw_retraining"), patch("nas.retrain.validate") as scored:
        scored.return_value = {"mean_iou": 0.1, "foreground_iou": 0.1, "val_loss": 0.1}
        stage.finish_epoch(1, Tracker(stage.folder))
    weights = stage.folder.load_checkpoint("segmenter", "segmenter")["weights"]
    assert all(torch.equal(weights[name], value) for name, value in kept.items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (AdversarySettings(), "Say what to train against"),
        (AdversarySettings(discriminator="none", genotype=Path("g.json")), "not both"),
    ],
)
def test_the_adversary_must_be_named_once(settings: AdversarySettings, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve_adversary(settings)


def test_a_missing_genotype_is_said() -> None:
    with pytest.raises(RunError, match=r"missing\.json"):
        resolve_adversary(AdversarySettings(genotype=Path("missing.json")))


@pytest.mark.parametrize("sees_image", [False, True])
@pytest.mark.parametrize("asked", [None, "map", "map+image"])
def test_the_genotype_says_what_is_seen_unless_told(
    tmp_path: Path,
    new_stage: Callable[..., RetrainStage],
    sees_image: bool,
    asked: Any,
) -> None:
    path = write_genotype(tmp_path / "cells.json", sees_image=sees_image)
    settings = AdversarySettings(genotype=path, discriminator_input=asked)
    adversary = resolve_adversary(settings)
    assert adversary is not None
    assert adversary.sees_image == (sees_image if asked is None else asked == "map+image")
    new_stage(settings).step(0, 0)


@pytest.mark.parametrize("known", ["same", "other", None])
def test_a_genotype_of_another_split_is_noted(
    tmp_path: Path,
    new_stage: Callable[..., RetrainStage],
    discs: Callable[..., Data],
    known: str | None,
) -> None:
    data = discs()
    split_hash = data.split.hash if known == "same" else known
    path = write_genotype(tmp_path / "cells.json", split_hash)
    stage = new_stage(AdversarySettings(genotype=path), data)
    finish(stage, [0.1, 0.2])
    notes = stage.folder.path / "notes.txt"
    assert notes.exists() == (known == "other")
    assert known != "other" or notes.read_text().count("another split") == 1


def test_a_network_too_deep_for_the_images_is_refused(
    tmp_path: Path, new_stage: Callable[..., RetrainStage]
) -> None:
    path = write_genotype(tmp_path / "cells.json", layout="RRRRR")
    with pytest.raises(UsageError, match="less deep"):
        new_stage(AdversarySettings(genotype=path), batch_size=1)


def epoch_of(stage: RetrainStage, epoch: int) -> list[set[str]]:
    """Which losses each step of an epoch has reported."""
    return [set(stage.step(epoch, step)) for step in range(stage.steps)]


def test_a_pretraining_moves_the_segmenter_alone_and_then_everything_begins_anew(
    new_stage: Callable[..., RetrainStage],
) -> None:
    loss = LossSettings(pretrain_epochs=1, pretrain_loss="dice")
    stage = new_stage(RESNET, tables={"loss": loss}, lr_schedule="decay", lr_every=1)
    assert stage.epochs == 5
    before = flat(discriminator(stage))
    assert epoch_of(stage, 0) == [{"pretraining_loss"}] * stage.steps
    assert torch.equal(flat(discriminator(stage)), before)
    numbers = finish_one(stage, 0)
    assert numbers["pretraining_lr"] == pytest.approx(1e-4)
    assert stage.engine.optimizers()["pretraining"].param_groups[0]["lr"] == pytest.approx(8e-5)
    assert epoch_of(stage, 1) == [{"segmenter_loss", "discriminator_loss"}] * stage.steps
    rebuilt = stage.engine.optimizers()["segmenter"]
    assert rebuilt.param_groups[0]["lr"] == pytest.approx(1e-4)
    steps = {int(state["step"]) for state in rebuilt.state.values()}
    assert steps == {stage.steps}


def finish_one(stage: RetrainStage, epoch: int) -> dict[str, float]:
    with patch("nas.retrain.draw_retraining"), Tracker(stage.folder, say=lambda line: None) as told:
        return stage.finish_epoch(epoch, told)


def test_triplets_are_mined_for_the_pretraining_alone(
    new_stage: Callable[..., RetrainStage],
) -> None:
    stage = new_stage(NONE, tables={"loss": LossSettings(pretrain_epochs=1)})
    assert stage._batches.batch(0, 0).triplets is not None
    epoch_of(stage, 1)
    assert stage._batches.batch(1, 0).triplets is None


def test_a_cosine_lasts_as_long_as_its_part_of_the_training(
    new_stage: Callable[..., RetrainStage],
) -> None:
    loss = LossSettings(pretrain_epochs=2, pretrain_loss="dice")
    stage = new_stage(NONE, tables={"loss": loss}, epochs=3, lr_schedule="cosine")
    rates = []
    for epoch in range(5):
        epoch_of(stage, epoch)
        numbers = finish_one(stage, epoch)
        rates.append(numbers.get("pretraining_lr", numbers.get("segmenter_lr")))
    assert rates == pytest.approx([1e-4, 5e-5, 1e-4, 7.5e-5, 2.5e-5])


def test_a_resumed_run_records_the_weight_of_its_epoch(
    new_stage: Callable[..., RetrainStage],
) -> None:
    tables = {"game": GameSettings(adversarial_ramp=2)}
    first, second = new_stage(RESNET, tables=tables), new_stage(RESNET, tables=tables)
    epoch_of(first, 3)
    second.restore(copy.deepcopy(first.state()))
    assert finish_one(second, 3)["adversarial_weight"] == pytest.approx(2.01)


def test_a_pretraining_keeps_no_segmenter(new_stage: Callable[..., RetrainStage]) -> None:
    stage = new_stage(NONE, tables={"loss": LossSettings(pretrain_epochs=1)})
    epoch_of(stage, 0)
    finish_one(stage, 0)
    assert not stage.folder.checkpoint("segmenter").exists()
    epoch_of(stage, 1)
    finish_one(stage, 1)
    assert stage.folder.load_checkpoint("segmenter", "segmenter")["epoch"] == 2


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_goes_on_exactly_from_within_and_behind_a_pretraining(
    new_stage: Callable[..., RetrainStage], epochs: int
) -> None:
    tables = {
        "loss": LossSettings(pretrain_epochs=1, triplets=5, triplet_weight=0.1),
        "augmentation": AugmentationSettings(flips=("horizontal",), elastic=0.5, rotation=20),
    }
    options = {"tables": tables, "lr_schedule": "plateau", "lr_patience": 0}
    first, second = new_stage(RESNET, **options), new_stage(RESNET, **options)
    for epoch in range(epochs):
        epoch_of(first, epoch)
        finish_one(first, epoch)
    second.restore(copy.deepcopy(first.state()))
    for stage in (first, second):
        epoch_of(stage, epochs)
    assert finish_one(first, epochs) == finish_one(second, epochs)
    assert torch.equal(flat(first.game.segmenter), flat(second.game.segmenter))
    assert torch.equal(flat(discriminator(first)), flat(discriminator(second)))


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def test_all_that_is_remembered_comes_back(new_stage: Callable[..., RetrainStage]) -> None:
    later = AugmentationSettings(elastic=1, curriculum=("elastic",), curriculum_iou=0.2)
    options = {
        "tables": {"augmentation": later},
        "lr_schedule": "plateau",
        "lr_patience": 1,
        "early_stopping": 9,
    }
    first, second = new_stage(RESNET, **options), new_stage(RESNET, **options)
    fresh = copy.deepcopy(second.state())
    epoch_of(first, 0)
    finish(first, [0.5, 0.4, 0.3])
    state = copy.deepcopy(first.state())
    for part in ("schedule", "curriculum", "stopping", "health", "engine", "best"):
        assert not same(state[part], fresh[part]), part
    second.restore(copy.deepcopy(state))
    restored = second.state()
    for part in state:
        assert same(state[part], restored[part]), part


def test_before_its_beginning_the_adversary_rests(new_stage: Callable[..., RetrainStage]) -> None:
    stage = new_stage(RESNET, tables={"game": GameSettings(adversarial_start=2)})
    alone = new_stage(NONE)
    before = flat(discriminator(stage))
    assert epoch_of(stage, 0) == [{"segmenter_loss"}] * stage.steps
    epoch_of(alone, 0)
    assert torch.equal(flat(discriminator(stage)), before)
    assert torch.equal(flat(stage.game.segmenter), flat(alone.game.segmenter))
    assert "real_accuracy" not in finish_one(stage, 0)
    assert epoch_of(stage, 1) == [{"segmenter_loss", "discriminator_loss"}] * stage.steps
    assert "real_accuracy" in finish_one(stage, 1)


def test_the_weight_of_the_epoch_reaches_the_loss_and_the_records(
    new_stage: Callable[..., RetrainStage],
) -> None:
    game = GameSettings(adversarial_ramp=10)
    stage = new_stage(RESNET, tables={"game": game}, adversarial_weight=0.5)
    for epoch, weight in ((0, 0.6), (2, 0.8)):
        stage.step(epoch, 0)
        assert stage.game.pressure == Pressure(pytest.approx(weight))
        assert finish_one(stage, epoch)["adversarial_weight"] == pytest.approx(weight)


def test_the_discriminator_takes_as_many_steps_as_asked(
    new_stage: Callable[..., RetrainStage],
) -> None:
    stage = new_stage(RESNET, tables={"game": GameSettings(discriminator_steps=3)})
    stage.step(0, 0)
    taken = {
        name: {int(state["step"]) for state in optimizer.state.values()}
        for name, optimizer in stage.engine.optimizers().items()
    }
    assert taken == {"segmenter": {1}, "discriminator": {3}}


def with_unlabelled(data: Data, count: int) -> Data:
    return dataclasses.replace(data, settings=DataSettings(unlabelled_images=count))


def test_masks_that_are_put_aside_are_never_read(
    new_stage: Callable[..., RetrainStage], discs: Callable[..., Data]
) -> None:
    data = with_unlabelled(discs(train=6), 2)
    aside = set(data.put_aside)
    assert len(aside) == 2 and set(data.labelled) | aside == set(data.split.train)
    stage = new_stage(RESNET, data, tables={"game": GameSettings(unlabelled_weight=0.1)})
    shown = {name for step in range(stage.steps) for name in stage._batches.batch(0, step).ids}
    assert shown == set(data.labelled)
    assert set(stage.unlabelled.images) == aside
    assert aside.isdisjoint(stage.train_samples.ids)


def test_unlabelled_images_move_the_segmenter(
    new_stage: Callable[..., RetrainStage], discs: Callable[..., Data]
) -> None:
    data = with_unlabelled(discs(train=6), 2)
    found = []
    for weight in (0.5, 1e-9):
        stage = new_stage(RESNET, data, tables={"game": GameSettings(unlabelled_weight=weight)})
        epoch_of(stage, 0)
        found.append(flat(stage.game.segmenter))
    assert not torch.allclose(*found, atol=1e-6)


def test_in_lalwanis_second_stage_the_discriminator_is_frozen(
    new_stage: Callable[..., RetrainStage], discs: Callable[..., Data]
) -> None:
    game = GameSettings(unlabelled_weight=0.5, unlabelled_start=2, unlabelled_order="stages")
    stage = new_stage(RESNET, with_unlabelled(discs(train=6), 2), tables={"game": game})
    epoch_of(stage, 0)
    before = flat(discriminator(stage)), flat(stage.game.segmenter)
    assert epoch_of(stage, 1) == [{"segmenter_loss"}] * stage.steps
    assert torch.equal(flat(discriminator(stage)), before[0])
    assert not torch.equal(flat(stage.game.segmenter), before[1])
    buffers = {name: value.clone() for name, value in discriminator(stage).named_buffers()}
    epoch_of(stage, 2)
    assert buffers
    for name, value in discriminator(stage).named_buffers():
        assert torch.equal(value, buffers[name]), name
    assert "real_accuracy" in finish_one(stage, 2)


def test_dans_game_trains_on_unlabelled_images(
    new_stage: Callable[..., RetrainStage], discs: Callable[..., Data]
) -> None:
    game = GameSettings(game="annotated-unannotated")
    stage = new_stage(RESNET, with_unlabelled(discs(train=6), 2), tables={"game": game})
    assert isinstance(stage.game, AnnotatedAgainstUnannotated)
    epoch_of(stage, 0)
    assert 0 <= finish_one(stage, 0)["real_accuracy"] <= 1


@pytest.mark.parametrize(
    ("game", "settings", "words"),
    [
        (GameSettings(game="annotated-unannotated"), DataSettings(), "images without masks"),
        (GameSettings(unlabelled_weight=0.1), DataSettings(), "--unlabelled-weight"),
    ],
)
def test_a_game_without_the_images_it_needs_is_refused(
    new_stage: Callable[..., RetrainStage],
    discs: Callable[..., Data],
    game: GameSettings,
    settings: DataSettings,
    words: str,
) -> None:
    data = dataclasses.replace(discs(), settings=settings)
    with pytest.raises(UsageError, match=words):
        new_stage(RESNET, data, tables={"game": game})


def test_nelsons_code_runs_and_is_found_out(new_stage: Callable[..., RetrainStage]) -> None:
    stage = new_stage(
        RESNET, tables={"game": GameSettings(game="nelson-as-coded")}, clip_norm=0, batch_size=4
    )
    assert isinstance(stage.game, NelsonAsCoded)
    assert isinstance(stage.engine, UnclearedGradients)
    for epoch in range(4):
        epoch_of(stage, epoch)
    numbers = finish_one(stage, 3)
    assert numbers["leaked_gradient"] > 0
    assert {"leak"} <= set(stage.health.counts)
    again = new_stage(
        RESNET, tables={"game": GameSettings(game="nelson-as-coded")}, clip_norm=0, batch_size=4
    )
    again.restore(copy.deepcopy(stage.state()))
    found = []
    for each in (stage, again):
        torch.manual_seed(1)
        found.append(each.step(4, 0))
    assert found[0] == found[1]
    assert torch.equal(flat(discriminator(stage)), flat(discriminator(again)))


def test_a_healthy_engine_leaks_nothing(new_stage: Callable[..., RetrainStage]) -> None:
    stage = new_stage(RESNET)
    epoch_of(stage, 0)
    assert finish_one(stage, 0)["leaked_gradient"] == 0


@pytest.mark.parametrize(
    ("tables", "training", "words"),
    [
        ({}, {}, "change --clip-norm"),
        ({"loss": LossSettings(loss="dice")}, {"clip_norm": 0}, "change --loss"),
        ({"loss": LossSettings(border_weight=1)}, {"clip_norm": 0}, "change --border-weight"),
        ({"loss": LossSettings(class_weights="frequency")}, {}, "--clip-norm, --class-weights"),
    ],
)
def test_nelsons_code_has_no_other_forms(
    tables: dict[str, Any], training: dict[str, Any], words: str
) -> None:
    game = GameSettings(game="nelson-as-coded")
    training = TrainingSettings(**training)
    settings = RetrainSettings(adversary=RESNET, game=game, training=training, **tables)
    with pytest.raises(UsageError, match=words):
        check_settings(settings)


@pytest.mark.parametrize("changed", [{"adversarial_loss": "hinge"}, {"cue": "noised"}])
def test_nelsons_code_has_its_own_loss_and_cue(changed: dict[str, Any]) -> None:
    game = GameSettings(game="nelson-as-coded", **changed)
    settings = RetrainSettings(adversary=RESNET, game=game, training=TrainingSettings(clip_norm=0))
    with pytest.raises(UsageError, match="change --"):
        check_settings(settings)


def test_early_stopping_stops(new_stage: Callable[..., RetrainStage]) -> None:
    stage = new_stage(NONE, early_stopping=2)
    finish(stage, [0.5, 0.4])
    assert stage.stop_reason() is None
    finish(stage, [0.3])
    assert "has not improved for 2 epochs" in str(stage.stop_reason())


@pytest.mark.parametrize(
    ("training", "tables", "words"),
    [
        ({"early_stopping": 3}, {}, "--early-stopping"),
        ({"lr_schedule": "plateau"}, {}, "--lr-schedule plateau"),
        (
            {},
            {"augmentation": AugmentationSettings(elastic=1, curriculum=("elastic",))},
            "--curriculum",
        ),
    ],
)
def test_what_watches_validation_images_needs_them(
    new_stage: Callable[..., RetrainStage],
    discs: Callable[..., Data],
    training: dict[str, Any],
    tables: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(UsageError, match=words):
        new_stage(NONE, discs(val=0), tables=tables, **training)


def test_the_curriculum_begins_when_the_validation_images_pass_its_threshold(
    new_stage: Callable[..., RetrainStage],
) -> None:
    later = AugmentationSettings(elastic=1, curriculum=("elastic",), curriculum_iou=0.7)
    stage = new_stage(NONE, tables={"augmentation": later})
    plain = new_stage(NONE)
    for score, begun in ((0.69, False), (0.71, True), (0.2, True)):
        finish(stage, [score])
        same = torch.equal(stage._batches.batch(3, 0).images, plain._batches.batch(3, 0).images)
        assert same != begun
    assert (stage.folder.path / "notes.txt").read_text().count("curriculum") == 1


def test_standardisation_is_part_of_the_segmenter(
    new_stage: Callable[..., RetrainStage], discs: Callable[..., Data]
) -> None:
    data = dataclasses.replace(discs(), settings=DataSettings(standardise="set"))
    tables = {"data": DataSettings(standardise="set")}
    stage = new_stage(NONE, data, tables=tables)
    images = stage.train_samples.batch(stage.train_samples.ids).images
    assert float(stage.game.segmenter.mean) == pytest.approx(float(images.mean()), abs=1e-6)
    inner = flat(stage.game.segmenter.network)
    assert torch.equal(inner, flat(new_stage(NONE).game.segmenter))


def test_masks_put_aside_without_a_use_are_told(
    new_stage: Callable[..., RetrainStage], discs: Callable[..., Data]
) -> None:
    """A fair comparison: the segmenter alone on the same labelled images."""
    stage = new_stage(NONE, with_unlabelled(discs(train=6), 2))
    assert stage.unlabelled is None
    assert len(stage.train_samples) == 4
    epoch_of(stage, 0)
    finish_one(stage, 0)
    assert "2 of the training images are not used" in (stage.folder.path / "notes.txt").read_text()
