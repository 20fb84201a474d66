from __future__ import annotations

from pathlib import Path

import pytest
import torch

import search_spaces
from search_spaces import genotypes
from search_spaces.cell import CellNetwork
from search_spaces.cell_genotype import CellGenotype, Network, from_darts_text
from search_spaces.description import GenotypeError


@pytest.fixture
def genotype(darts_v2: str) -> CellGenotype:
    return from_darts_text(darts_v2, Network(channels=2, layout="NR"))


def test_a_genotype_file_is_all_it_takes(tmp_path: Path, genotype: CellGenotype) -> None:
    path = tmp_path / "genotype.json"
    genotypes.write(genotype, path)
    assert search_spaces.load(path) == genotype
    images = torch.rand(2, 4, 40, 56)
    verdicts = []
    for source in (genotype, path, str(path)):
        torch.manual_seed(0)
        verdicts.append(search_spaces.build(source, 4)(images))
    assert verdicts[0].shape == (2, 1)
    assert torch.equal(verdicts[0], verdicts[1])
    assert torch.equal(verdicts[0], verdicts[2])


def test_the_stack_can_be_changed(genotype: CellGenotype) -> None:
    network = search_spaces.build(
        genotype,
        3,
        outputs=5,
        channels=4,
        layout="NRN",
        normalisation="none",
        stem_multiplier=2,
        ends="classifier",
    )
    assert network.network == Network(
        channels=4,
        layout="NRN",
        normalisation="none",
        stem_multiplier=2,
        ends="classifier",
        in_channels=3,
        outputs=5,
    )
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 5)
    assert "head.0.weight" in dict(network.named_parameters())
    assert dict(network.named_parameters())["head.0.weight"].shape == (8, 3, 3, 3)


def test_styles_can_be_chosen(genotype: CellGenotype) -> None:
    def norms(affine: bool = True, pool_norm: bool = False) -> tuple[int, int]:
        network = CellNetwork(genotype, 3, affine=affine, pool_norm=pool_norm)
        modules = list(network.modules())
        layers = [module for module in modules if isinstance(module, torch.nn.BatchNorm2d)]
        return len(layers), sum(layer.affine for layer in layers)

    count, affine = norms()
    assert count == affine
    assert norms(affine=False) == (count, 1)
    assert norms(pool_norm=True)[0] == count + 5


def test_impossible_changes_are_refused(genotype: CellGenotype) -> None:
    with pytest.raises(GenotypeError, match="word of N"):
        search_spaces.build(genotype, 3, layout="ABC")


def test_a_genotype_that_knows_its_input_needs_nothing_else(genotype: CellGenotype) -> None:
    known = genotype.with_network(in_channels=5, outputs=2)
    assert search_spaces.build(known)(torch.rand(1, 5, 32, 32)).shape == (1, 2)
    assert search_spaces.build(known, 3, 1)(torch.rand(1, 3, 32, 32)).shape == (1, 1)
    with pytest.raises(GenotypeError, match="give in_channels"):
        search_spaces.build(genotype)
