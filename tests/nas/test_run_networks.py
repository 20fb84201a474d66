"""The networks of runs: with the weights of a retraining, or fresh ones for what a search found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import search_spaces
from nas.errors import RunError
from nas.games.adversarial import AdversarialSegmentation
from nas.own_genotypes import keep_genotypes
from nas.preparation import Data
from nas.retrain import RetrainStage
from nas.run_networks import networks_of_retraining, networks_of_search
from nas.runs import RunFolder
from nas.settings import (
    AdversarySettings,
    DataSettings,
    RetrainSettings,
    RunSettings,
    SearchSettings,
)
from search_spaces import genotypes
from search_spaces.cell_genotype import Cell, CellGenotype, Edge, Network
from search_spaces.description import Provenance
from search_spaces.parametric_genotypes import ConcatenationFCN, ConcatenationFCNGenotype

BACKBONE = "unet?width=2&depth=1"
CLASSES = ["background", "disc"]
CELL = Cell(((Edge("sep_conv_3x3", 0), Edge("max_pool_3x3", 1)),), (2,))
RAN = Provenance(backbone="unet", settings={"data": {"data_root": "/home/somebody"}})


def write_cells(path: Path, **network: Any) -> Path:
    described = {"channels": 2, "layout": "NR", "normalisation": "group", **network}
    genotypes.write(CellGenotype(CELL, CELL, Network(**described), provenance=RAN), path)
    return path


@pytest.fixture
def retrained(tmp_path: Path, discs: Callable[..., Data]) -> Callable[..., Any]:
    """Makes the folder that a retraining leaves, and the networks whose weights are in it."""

    def make(**adversary: Any) -> tuple[RunFolder, dict[str, nn.Module]]:
        settings = RetrainSettings(
            backbone=BACKBONE,
            adversary=AdversarySettings(**adversary),
            data=DataSettings(image_size="32"),
            run=RunSettings(seed=3, device="cpu"),
        )
        folder = RunFolder(tmp_path / "run")
        stage = RetrainStage(settings, folder, discs())
        folder.begin("retrain", settings)
        folder.record(data={"channels": 1, "classes": CLASSES})
        keep_genotypes(settings, folder)
        networks: dict[str, nn.Module] = {"segmenter": stage.game.segmenter}
        if isinstance(stage.game, AdversarialSegmentation):
            networks["discriminator"] = stage.game.discriminator
        stage.step(0, 0)
        kept = {"weights": stage.game.segmenter.state_dict(), "epoch": 5}
        folder.save_checkpoint("segmenter", "segmenter", kept)
        last = {"stage": stage.state(), "position": {"epoch": 7}}
        folder.save_checkpoint("last", "retrain", last)
        return folder, networks

    return make


def same(found: nn.Module, expected: nn.Module, channels: int) -> bool:
    maps = torch.rand(2, channels, 33, 40)
    with torch.no_grad():
        return torch.equal(found(maps), expected.eval()(maps))


def described(network: Any) -> dict[str, str]:
    return dict(network.description)


@pytest.mark.parametrize(("sees", "channels"), [("map", 2), ("map+image", 3)])
def test_a_retraining_has_its_trained_networks(
    retrained: Callable[..., Any], tmp_path: Path, sees: str, channels: int
) -> None:
    genotype = write_cells(tmp_path / "cells.json")
    folder, networks = retrained(discriminator=f"{genotype}?channels=3", discriminator_input=sees)
    genotype.unlink()
    found = networks_of_retraining(folder)
    assert list(found) == ["segmenter", "discriminator"]
    assert (found["segmenter"].in_channels, found["discriminator"].in_channels) == (1, channels)
    for role, network in found.items():
        assert network.role == role
        assert not any(module.training for module in network.network.modules())
        assert same(network.network, networks[role], network.in_channels)


def test_they_are_described(retrained: Callable[..., Any], tmp_path: Path) -> None:
    genotype = write_cells(tmp_path / "cells.json")
    folder, _ = retrained(discriminator=f"{genotype}?channels=3")
    found = networks_of_retraining(folder)
    assert described(found["segmenter"]) == {
        "role": "segmenter",
        "classes": json.dumps(CLASSES),
        "network": BACKBONE,
        "weights": "trained, epoch 5",
        "image_size": "32",
    }
    about = described(found["discriminator"])
    text = about.pop("genotype")
    assert about == {
        "role": "discriminator",
        "classes": json.dumps(CLASSES),
        "network": "cells.json?channels=3",
        "weights": "trained, epoch 7",
        "image_size": "32",
        "input": "map",
    }
    (tmp_path / "again.json").write_text(text)
    assert genotypes.same_architecture(
        genotypes.read(tmp_path / "again.json"), genotypes.read(genotype)
    )
    assert "somebody" not in text


def test_against_nothing_there_is_a_segmenter_alone(retrained: Callable[..., Any]) -> None:
    folder, networks = retrained(discriminator="none")
    (found,) = networks_of_retraining(folder).values()
    assert found.role == "segmenter"
    assert same(found.network, networks["segmenter"], 1)


@pytest.mark.parametrize("name", ["segmenter", "last"])
def test_a_checkpoint_that_is_missing_is_said(retrained: Callable[..., Any], name: str) -> None:
    folder, _ = retrained(discriminator="resnet10?width=2")
    folder.checkpoint(name).unlink()
    with pytest.raises(RunError, match=f"{name}.pt does not exist"):
        networks_of_retraining(folder)


@pytest.mark.parametrize("state", [{}, {"discriminator": {"head.weight": torch.zeros(1)}}])
def test_weights_of_another_discriminator_are_refused(
    retrained: Callable[..., Any], state: dict[str, Any]
) -> None:
    folder, _ = retrained(discriminator="resnet10?width=2")
    folder.save_checkpoint("last", "retrain", {"stage": state, "position": {"epoch": 1}})
    with pytest.raises(RunError, match="last.pt does not hold the weights"):
        networks_of_retraining(folder)


def test_a_run_that_has_not_met_its_data_is_refused(retrained: Callable[..., Any]) -> None:
    folder, _ = retrained(discriminator="none")
    folder.record(data=None)
    with pytest.raises(RunError, match="does not say what data"):
        networks_of_retraining(folder)


@pytest.fixture
def searched(tmp_path: Path) -> RunFolder:
    """The folder of a search with the seed 3 on grey images of two classes."""
    folder = RunFolder(tmp_path / "search")
    folder.begin("search", SearchSettings(run=RunSettings(seed=3)))
    folder.record(data={"channels": 1, "classes": CLASSES})
    return folder


def weights(network: nn.Module) -> Tensor:
    return torch.cat([each.detach().flatten() for each in network.parameters()])


def test_a_search_has_what_a_retraining_of_its_seed_starts_from(
    searched: RunFolder, tmp_path: Path, discs: Callable[..., Data]
) -> None:
    genotype = write_cells(tmp_path / "cells.json", in_channels=2)
    (found,) = networks_of_search(searched, {"discriminator": genotype}).values()
    settings = RetrainSettings(
        backbone=BACKBONE,
        adversary=AdversarySettings(genotype=genotype),
        run=RunSettings(seed=3, device="cpu"),
    )
    stage = RetrainStage(settings, RunFolder(tmp_path / "run"), discs())
    assert isinstance(stage.game, AdversarialSegmentation)
    assert torch.equal(weights(found.network), weights(stage.game.discriminator))
    assert not torch.equal(weights(found.network), weights(search_spaces.build(genotype)))
    assert not any(module.training for module in found.network.modules())
    assert described(found) | {"genotype": ""} == {
        "role": "discriminator",
        "classes": json.dumps(CLASSES),
        "weights": "fresh, of the seed 3",
        "genotype": "",
        "input": "map",
    }


def test_both_networks_of_a_search_are_built(searched: RunFolder, tmp_path: Path) -> None:
    cells = write_cells(tmp_path / "cells.json", in_channels=3, sees_image=True)
    fcn = ConcatenationFCN(channels=2, blocks=3, in_channels=1, outputs=2)
    genotypes.write(ConcatenationFCNGenotype(fcn), tmp_path / "fcn.json")
    files = {"segmenter": tmp_path / "fcn.json", "discriminator": cells}
    found = networks_of_search(searched, files)
    assert list(found) == list(files)
    assert found["discriminator"].in_channels == 3
    assert found["discriminator"].description["input"] == "map+image"
    assert "input" not in found["segmenter"].description
    images = torch.rand(1, found["segmenter"].in_channels, 40, 33)
    assert found["segmenter"].network(images).shape == (1, 2, 40, 33)


def test_a_genotype_that_knows_no_channels_is_refused(searched: RunFolder, tmp_path: Path) -> None:
    cells = write_cells(tmp_path / "cells.json")
    with pytest.raises(RunError, match=r"cells\.json does not say how many channels"):
        networks_of_search(searched, {"discriminator": cells})
