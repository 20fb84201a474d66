"""The loop of the README, run as it stands there: a searched discriminator beside MONAI's U-Net."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import search_spaces
from search_spaces import genotypes
from search_spaces.cell_genotype import Network, from_darts_text

pytest.importorskip("monai")

README = Path(__file__).resolve().parents[2] / "README.md"
BATCH, SIZE, STEPS = 2, 32, 30


@pytest.fixture
def code() -> str:
    """The code block of the section "In Python"."""
    section = README.read_text().partition("\n## In Python\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(block)


@pytest.fixture
def genotype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, darts_v2: str) -> Path:
    """genotype.json in the present folder, as a search over three classes leaves it."""
    monkeypatch.chdir(tmp_path)
    network = Network(channels=4, layout="NR", normalisation="group", in_channels=3)
    genotypes.write(from_darts_text(darts_v2, network), "genotype.json")
    return tmp_path / "genotype.json"


class Discs:
    """Batches of a grey disc and a bright one on dark ground; remembers what it gave."""

    def __init__(self) -> None:
        self.labels: list[Tensor] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rows = torch.arange(SIZE)[:, None]
        columns = torch.arange(SIZE)
        for _ in range(STEPS):
            labels = torch.zeros(BATCH, 1, SIZE, SIZE, dtype=torch.long)
            for mask in labels[:, 0]:
                for value in (1, 2):
                    y, x = torch.randint(8, SIZE - 8, (2,))
                    mask[(rows - y) ** 2 + (columns - x) ** 2 < 36] = value
            self.labels.append(labels)
            yield 0.4 * labels + 0.1 * torch.rand(labels.shape), labels


def run(code: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[set[int]]]:
    """The names after the code has run, and which weights each step of an optimiser changed."""
    moved: list[set[int]] = []
    step = torch.optim.Adam.step

    def watched(optimizer: Optimizer, *arguments: Any) -> Any:
        weights = [each for group in optimizer.param_groups for each in group["params"]]
        before = [each.detach().clone() for each in weights]
        result = step(optimizer, *arguments)
        pairs = zip(weights, before, strict=True)
        moved.append({id(now) for now, then in pairs if not torch.equal(now, then)})
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    names: dict[str, Any] = {"loader": Discs()}
    exec(compile(code, str(README), "exec"), names)
    return names, moved


def parameters(module: nn.Module) -> set[int]:
    return {id(each) for each in module.parameters()}


def test_both_networks_of_the_readme_train(
    code: str, genotype: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, moved = run(code, monkeypatch)
    assert len(moved) == 2 * STEPS
    assert names["loss_s"].isfinite()
    assert names["loss_d"].isfinite()
    segmenter, discriminator = names["segmenter"], names["discriminator"]
    assert set.union(*moved[::2]) == parameters(segmenter)
    assert set.union(*moved[1::2]) == parameters(discriminator)
    assert all(each.isfinite().all() for each in discriminator.parameters())


def test_the_discriminator_of_the_readme_learns_to_tell_truth_from_prediction(
    code: str, genotype: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, _ = run(code, monkeypatch)
    discriminator, segmenter = names["discriminator"], names["segmenter"]
    labels = torch.cat(names["loader"].labels)
    with torch.no_grad():
        truth = discriminator(names["one_hot"](labels, num_classes=3))
        forged = discriminator(segmenter(0.4 * labels + 0.05).softmax(dim=1))
    assert truth.mean() > forged.mean() + 0.7


def test_the_same_cells_for_another_number_of_classes_and_wider(code: str, genotype: Path) -> None:
    """The call that the section ends with."""
    (call,) = re.findall(r"`(search_spaces\.build\([^`]*\))`", README.read_text())
    wider = eval(call, {"search_spaces": search_spaces})
    assert wider(torch.rand(2, 4, 33, 47)).shape == (2, 1)
    assert wider.head[0].out_channels == 3 * 32
