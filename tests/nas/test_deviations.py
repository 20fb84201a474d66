"""What differs from the published method is told once, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.deviations import Deviation, deviations, label_run, sentence, summary
from nas.runs import RunFolder, WatchedFolder
from nas.settings import (
    AdversarySettings,
    ArchitectureSettings,
    CellSettings,
    DataSettings,
    GameSettings,
    RetrainSettings,
    RunSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
)
from nas.supernets import SEARCHED_SEGMENTER

CHOICES: dict[str, dict[str, Any]] = {
    "--order first": {"architecture": ArchitectureSettings(order="first")},
    "--product-for discriminator": {
        "architecture": ArchitectureSettings(product_for="discriminator")
    },
    "--product exact": {"architecture": ArchitectureSettings(product="exact")},
    "--objective segmenter": {"architecture": ArchitectureSettings(objective="segmenter")},
    "--partial-channels 4": {"cell": CellSettings(partial_channels=4)},
    "--relaxation single-path --temperature 10 0.1": {
        "cell": CellSettings(relaxation="single-path")
    },
    "--recompute-cells": {"cell": CellSettings(recompute_cells=True)},
    "--precision bf16": {"run": RunSettings(precision="bf16")},
    "--passes joint": {"game": GameSettings(passes="joint")},
    "--cue straight-through": {"game": GameSettings(cue="straight-through")},
    "--discriminator-steps 2": {"game": GameSettings(discriminator_steps=2)},
    "--verdict pixel": {"space": SpaceSettings(verdict="pixel")},
    "--discriminator-input map+image": {"space": SpaceSettings(discriminator_input="map+image")},
    "--space flexvgg": {"space": SpaceSettings(space="flexvgg")},
}
EQUAL = {"--recompute-cells"}


@pytest.mark.parametrize("option", CHOICES)
def test_each_choice_alone_is_one_deviation(option: str) -> None:
    (found,) = deviations(SearchSettings(**CHOICES[option]))
    assert found.option == option
    assert found.equal == (option in EQUAL)
    assert option in sentence(found)
    assert found.difference in sentence(found)
    assert sentence(found).startswith("Equal" if found.equal else "A deviation")
    assert (summary([found]) is None) == found.equal


@pytest.mark.parametrize(
    "settings",
    [
        SearchSettings(),
        SearchSettings(
            backbone="fcn32s",
            data=DataSettings(dataset="folder"),
            training=TrainingSettings(segmenter_lr=1.0, optimizer="sgd"),
            cell=CellSettings(channels=4, temperature=(3.0, 1.0)),
            architecture=ArchitectureSettings(radius=1e-3, unrolled_rate=0.1),
        ),
        RetrainSettings(),
        RetrainSettings(game=GameSettings(passes="joint")),
    ],
)
def test_what_is_published_open_or_without_effect_is_none(settings: Any) -> None:
    assert deviations(settings) == ()
    assert summary(()) is None


def test_what_takes_no_part_is_not_told() -> None:
    """Settings of cells in another space, of products at first order, of a game without a judge."""
    cell = CellSettings(partial_channels=4, recompute_cells=True)
    flexvgg = SearchSettings(space=SpaceSettings(space="flexvgg", verdict="pixel"), cell=cell)
    assert [each.option for each in deviations(flexvgg)] == ["--space flexvgg"]
    first = ArchitectureSettings(order="first", product="exact", product_for="none")
    assert len(deviations(SearchSettings(architecture=first))) == 1
    segmenter = SearchSettings(
        backbone=SEARCHED_SEGMENTER,
        space=SpaceSettings(space="none", discriminator_input="map+image"),
        game=GameSettings(passes="joint"),
        cell=cell,
        architecture=ArchitectureSettings(objective="segmenter"),
    )
    assert deviations(segmenter) == ()


def test_a_retraining_tells_of_its_game_where_there_is_one() -> None:
    adversary = AdversarySettings(discriminator="resnet10")
    settings = RetrainSettings(adversary=adversary, game=GameSettings(passes="joint"))
    assert [each.name for each in deviations(settings)] == ["joint pass"]
    run = RunSettings(precision="bf16")
    assert [each.name for each in deviations(RetrainSettings(run=run))] == ["reduced precision"]


def test_a_summary_names_all_that_are_other_mathematics() -> None:
    settings = SearchSettings(
        cell=CellSettings(recompute_cells=True, partial_channels=4),
        run=RunSettings(precision="bf16"),
    )
    assert summary(deviations(settings)) == (
        "Deviations from the published mathematics: partial channels with edge normalisation "
        "(--partial-channels 4), reduced precision (--precision bf16)."
    )


def test_a_runs_folder_is_labelled_once(tmp_path: Path) -> None:
    settings = SearchSettings(**CHOICES["--order first"])
    folder = RunFolder(tmp_path / "run")
    folder.begin("search", settings)
    for _ in range(2):
        label_run(folder, settings)
    (kept,) = folder.read_record()["deviations"]
    (expected,) = deviations(settings)
    assert Deviation(**kept) == expected
    assert (folder.path / "notes.txt").read_text() == sentence(expected) + "\n"
    plain = RunFolder(tmp_path / "plain")
    plain.begin("search", SearchSettings())
    label_run(plain, SearchSettings())
    assert plain.read_record()["deviations"] == []
    assert not (plain.path / "notes.txt").exists()


def test_another_process_labels_nothing(tmp_path: Path) -> None:
    label_run(WatchedFolder(tmp_path / "run"), SearchSettings(**CHOICES["--order first"]))
    assert not (tmp_path / "run").exists()
