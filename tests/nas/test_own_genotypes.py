"""A retraining lives on when the files of its genotypes are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import RunError
from nas.own_genotypes import keep_genotypes, named_networks, with_own_genotypes
from nas.runs import RunFolder
from nas.settings import AdversarySettings, RetrainSettings
from search_spaces import genotypes
from search_spaces.cell_genotype import Cell, CellGenotype, Edge, Network
from search_spaces.parametric_genotypes import ConcatenationFCN, ConcatenationFCNGenotype

CELL = Cell(((Edge("skip_connect", 0),),), (2,))
DISCRIMINATOR = CellGenotype(CELL, CELL, Network(layout="N"))
SEGMENTER = ConcatenationFCNGenotype(ConcatenationFCN(channels=8))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def settings(tmp_path: Path) -> RetrainSettings:
    """Both networks are genotypes, with options."""
    genotypes.write(SEGMENTER, tmp_path / "s.json")
    genotypes.write(DISCRIMINATOR, tmp_path / "d.json")
    return RetrainSettings(
        backbone=f"{tmp_path}/s.json?normalisation=none",
        adversary=AdversarySettings(discriminator=f"{tmp_path}/d.json?channels=3"),
    )


def test_both_copies_take_the_place_of_the_originals(
    tmp_path: Path, folder: RunFolder, settings: RetrainSettings
) -> None:
    keep_genotypes(settings, folder)
    assert with_own_genotypes(settings, folder) == settings, "there is no run yet"
    folder.begin("retrain", settings)
    (tmp_path / "s.json").unlink()
    (tmp_path / "d.json").unlink()
    own = with_own_genotypes(settings, folder)
    assert own.backbone == f"{folder.own_genotype('segmenter')}?normalisation=none"
    assert own.adversary.discriminator == f"{folder.own_genotype('discriminator')}?channels=3"
    assert genotypes.read(folder.own_genotype("segmenter")) == SEGMENTER
    assert genotypes.read(folder.own_genotype("discriminator")) == DISCRIMINATOR
    keep_genotypes(own, folder)
    assert with_own_genotypes(own, folder) == own


def test_a_genotype_option_becomes_the_discriminator(
    tmp_path: Path, folder: RunFolder, settings: RetrainSettings
) -> None:
    named = RetrainSettings(adversary=AdversarySettings(genotype=tmp_path / "d.json"))
    keep_genotypes(named, folder)
    folder.begin("retrain", named)
    own = with_own_genotypes(named, folder)
    assert own.adversary.genotype is None
    assert own.adversary.discriminator == str(folder.own_genotype("discriminator"))
    assert own.backbone == "unet"


@pytest.mark.parametrize("discriminator", ["none", "resnet10?width=4", None])
def test_networks_by_name_are_not_copied(folder: RunFolder, discriminator: str | None) -> None:
    settings = RetrainSettings(adversary=AdversarySettings(discriminator=discriminator))
    assert named_networks(settings) == {
        "segmenter": "unet",
        "discriminator": discriminator or "none",
    }
    keep_genotypes(settings, folder)
    folder.begin("retrain", settings)
    assert with_own_genotypes(settings, folder) == settings
    assert not (folder.path / "checkpoints").exists()


def test_a_missing_genotype_is_said(
    tmp_path: Path, folder: RunFolder, settings: RetrainSettings
) -> None:
    (tmp_path / "s.json").unlink()
    with pytest.raises(RunError, match="s.json"):
        keep_genotypes(settings, folder)
