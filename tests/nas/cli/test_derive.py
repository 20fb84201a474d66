"""nas-derive: the genotype of any epoch, in both forms, and the searches that have none."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.cli.derive import retrain_command
from nas.runs import RunFolder
from nas.settings import (
    DataSettings,
    GameSettings,
    LossSettings,
    RetrainSettings,
    SearchSettings,
)
from search_spaces import cell_genotype, genotypes

Command = Callable[..., Any]


def test_the_last_epoch_is_the_default(command: Command, finished: Path) -> None:
    for extra, epoch in (((), 2), (("--epoch", 1), 1)):
        result = command("derive", finished / "search", "-o", "deep/g.json", *extra)
        assert result.code == 0, result
        derived = genotypes.read("deep/g.json")
        found = genotypes.read(
            finished / "search" / "genotypes" / "discriminator" / f"epoch_{epoch:04d}.json"
        )
        assert genotypes.same_architecture(derived, found)
        assert derived.provenance == found.provenance
        assert "Draw it: nas-render deep/g.json -o deep/g.svg" in result.out


def test_edges_per_node_can_be_chosen(command: Command, finished: Path) -> None:
    assert command("derive", finished / "search", "--edges-per-node", 1).code == 0
    genotype = genotypes.read("genotype.json")
    assert [len(edges) for edges in genotype.normal.nodes] == [1]


def test_the_cells_are_printed(command: Command, finished: Path) -> None:
    result = command("derive", finished / "search")
    genotype = genotypes.read("genotype.json")
    for cell in (genotype.normal, genotype.reduction):
        for edge in cell.nodes[0]:
            assert f"{edge.operation}({edge.source}) {edge.probability:.3f}" in result.out


def test_the_text_form_reads_back(command: Command, finished: Path) -> None:
    result = command("derive", finished / "search", "-o", "g.txt", "--format", "darts")
    assert result.code == 0
    read = cell_genotype.from_darts_text(Path("g.txt").read_text())
    assert read.normal.nodes[0][0].operation in result.out


def test_the_next_command_runs_as_it_is_printed(command: Command, finished: Path) -> None:
    result = command("derive", finished / "search", "-o", "my cells.json")
    (line,) = [line for line in result.out.splitlines() if line.startswith("Next: ")]
    name, *arguments = shlex.split(line.removeprefix("Next: "))
    assert name == "nas-retrain"
    extra = ("--epochs", 1, "--device", "cpu", "--threads", 1, "--run-dir", "next")
    result = command("retrain", *arguments, *extra)
    assert result.code == 0, result


def test_the_next_command_repeats_the_settings_of_the_search(tmp_path: Path) -> None:
    from nas.cli.common import parse

    settings = SearchSettings(
        backbone="unet?width=4",
        data=DataSettings(
            dataset="folder", data_root=Path("/some where"), class_names=("a b", "c")
        ),
        game=GameSettings(adversarial_loss="hinge"),
        loss=LossSettings(loss="dice"),
    )
    folder = RunFolder(tmp_path)
    folder.write_settings(settings)
    line = retrain_command(folder.settings_file, {"discriminator": Path("g.json")})
    parsed = parse(RetrainSettings, "nas-retrain", shlex.split(line)[1:])
    for table in ("backbone", "data", "game", "loss"):
        assert getattr(parsed, table) == getattr(settings, table)
    assert parsed.adversary.genotype == Path("g.json")


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (("--epoch", 9), 4, "none of 9"),
        (("-o", "/proc/nowhere/g.json"), 4, "Cannot write"),
        (("-o", "."), 4, "is a folder"),
        (("--edges-per-node", 1, "--format", "darts"), 2, "two edges"),
    ],
)
def test_what_cannot_be_is_said(
    command: Command, finished: Path, extra: tuple[object, ...], code: int, words: str
) -> None:
    command("derive", finished / "search", *extra).refused(code, words)


def test_another_folder_is_said(command: Command, finished: Path) -> None:
    command("derive", finished / "retrain").refused(4, "holds a run of nas-retrain")
    command("derive", finished / "genotype.json").refused(4, "is not a run's folder")
    command("derive", "nothing").refused(4, "is not a run's folder")


def test_a_search_without_a_genotype_is_said(
    command: Command, copied: Callable[[str], Path]
) -> None:
    path = copied("search")
    last = path / "genotypes" / "discriminator" / "epoch_0002.json"
    stripped = genotypes.read(last)
    last.write_text("{")
    command("derive", path).refused(4, "epoch_0002.json")
    bare = cell_genotype.CellGenotype(stripped.normal, stripped.reduction, stripped.network)
    genotypes.write(bare, last)
    command("derive", path).refused(4, "architecture parameters")
    shutil.rmtree(path / "genotypes")
    command("derive", path).refused(4, "has not finished an epoch yet")
