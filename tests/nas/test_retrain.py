"""Retraining against nothing, a named network and a genotype: equal starts, the best kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from nas.adversarial import AdversarialSegmentation
from nas.errors import RunError, UsageError
from nas.preparation import Data
from nas.retrain import RetrainStage, resolve_adversary
from nas.runs import RunFolder
from nas.settings import AdversarySettings, RetrainSettings, RunSettings, TrainingSettings
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
        **training: Any,
    ) -> RetrainStage:
        settings = RetrainSettings(
            backbone="unet?width=2&depth=1",
            adversary=adversary,
            training=TrainingSettings(**{"epochs": 4, **training}),
            run=RunSettings(seed=seed, device="cpu", threads=1),
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
    assert set(stage.state()) == {"segmenter", "optimizers", "best"}


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
        patch("nas.retrain.score_segmenter") as scored,
        Tracker(stage.folder, say=lambda line: None) as tracker,
    ):
        for epoch, value in enumerate(scores):
            scored.return_value.pooled.iou.mean = value
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
    with patch("nas.retrain.draw_retraining"), patch("nas.retrain.score_segmenter") as scored:
        scored.return_value.pooled.iou.mean = 0.1
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
