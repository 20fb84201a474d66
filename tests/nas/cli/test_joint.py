"""Both networks searched: two genotypes, both drawn, both used, and the orders of the search."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.runs import RunFolder
from search_spaces import genotypes

Command = Callable[..., Any]

RANGES: list[object] = [
    *("--fcn-channels", 8, 16, "--fcn-blocks", 1, 2, "--fcn-depth", 1, "--fcn-taps", 1),
    *("--fcn-max-channels", 16),
]
FLEXVGG: list[object] = [
    *("--space", "flexvgg", "--flexvgg-channels", 8, "--flexvgg-blocks", 1, 2),
    *("--flexvgg-features", 16, 32, "--flexvgg-linear-depth", 0, 1, "--flexvgg-max-channels", 16),
]


def common(data: Path) -> list[object]:
    """Options of searches and retrainings that take a second."""
    return [
        *("--dataset", "folder", "--data-root", data, "--image-size", 32),
        *("--train-images", 4, "--val-images", 2, "--epochs", 2, "--threads", 1),
        *("--device", "cpu"),
    ]


def joint(data: Path) -> list[object]:
    """Options of a search of both networks."""
    both = ("--backbone", "search:concatenation_fcn", "--diagnose-every", 0)
    return [*common(data), *both, *RANGES, *FLEXVGG]


def test_both_genotypes_are_derived_drawn_and_used(command: Command, data: Path) -> None:
    search = command("search", *joint(data), "--run-dir", "search")
    assert search.code == 0, search
    pictures = {path.name for path in Path("search/pictures").iterdir()}
    assert {"segmenter_0002.png", "discriminator_probabilities_0002.png"} <= pictures
    assert {"segmenter_over_epochs.png", "discriminator_over_epochs.png"} <= pictures

    derived = command("derive", "search", "-o", "g.json")
    assert derived.code == 0, derived
    found = {role: genotypes.read(f"g.{role}.json") for role in ("segmenter", "discriminator")}
    assert {role: each.space for role, each in found.items()} == {
        "segmenter": "concatenation_fcn",
        "discriminator": "flexvgg",
    }
    for role, genotype in found.items():
        (last,) = RunFolder(Path("search")).genotype_files(role)[-1:]
        assert genotype == genotypes.read(last)
        assert f"Draw it: nas-render g.{role}.json" in derived.out
        for name, choice in genotype.relaxation.choices.items():
            assert f"{name} = {choice.best()}" in derived.out
        assert command("render", f"g.{role}.json", "-o", f"{role}.svg").code == 0

    (line,) = [line for line in derived.out.splitlines() if line.startswith("Next: ")]
    _, *arguments = shlex.split(line.removeprefix("Next: "))
    extra = ("--epochs", 1, "--device", "cpu", "--threads", 1, "--run-dir", "retrain")
    retrained = command("retrain", *arguments, *extra)
    assert retrained.code == 0, retrained
    for role in found:
        Path(f"g.{role}.json").unlink()
    assert command("evaluate", "retrain", "--device", "cpu").code == 0


def test_a_segmenter_alone_needs_no_discriminator(command: Command, data: Path) -> None:
    alone = ("--backbone", "search:concatenation_fcn", "--space", "none", "--diagnose-every", 1)
    search = command("search", *common(data), *alone, *RANGES, "--run-dir", "search")
    assert search.code == 0, search
    derived = command("derive", "search")
    assert "--discriminator none --backbone genotype.json" in derived.out
    assert genotypes.read("genotype.json").role == "segmenter"


def test_a_decoupled_search_goes_on_in_its_second_part(command: Command, data: Path) -> None:
    decoupled = [*joint(data), "--schedule", "decoupled"]
    assert command("search", *decoupled, "--run-dir", "whole").code == 0
    whole = RunFolder(Path("whole"))
    assert [path.stem for path in whole.genotype_files("segmenter")] == ["epoch_0001", "epoch_0002"]
    assert [path.stem for path in whole.genotype_files("discriminator")] == [
        "epoch_0003",
        "epoch_0004",
    ]
    assert command("derive", "whole", "-o", "whole.json").code == 0
    early = command("derive", "whole", "-o", "early.json", "--epoch", 1)
    assert early.code == 0
    assert genotypes.read("early.json").role == "segmenter"
    command("derive", "whole", "--epoch", 5).refused(4, "none of 5")


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (("--layout", "NR"), 2, "--layout"),
        (("--flexvgg-linear-depth", 6), 2, "--flexvgg"),
        (("--fcn-taps", 3), 2, "--fcn"),
        (("--fcn-channels", 9), 2, "--fcn"),
        (("--normalisation", "spectral"), 2, "spectral"),
    ],
)
def test_what_cannot_be_searched_is_said(
    command: Command, data: Path, extra: tuple[object, ...], code: int, words: str
) -> None:
    command("search", *joint(data), *extra, "--run-dir", "x").refused(code, words)
    assert not Path("x").exists()


def test_options_about_cells_need_cells(command: Command, data: Path) -> None:
    assert command("search", *joint(data), "--epochs", 1, "--run-dir", "search").code == 0
    command("derive", "search", "--format", "darts").refused(2, "for cells")
    command("derive", "search", "--edges-per-node", 1).refused(2, "for cells")
    command("derive", "search", "--size", 32, 32).refused(2, "--format onnx")


def test_networks_take_the_place_that_their_genotype_names(command: Command, data: Path) -> None:
    assert command("search", *joint(data), "--epochs", 1, "--run-dir", "search").code == 0
    assert command("derive", "search", "-o", "g.json").code == 0
    wrong = ("--backbone", "g.discriminator.json", "--discriminator", "none")
    command("retrain", *common(data), *wrong).refused(2, "g.discriminator.json")
    wrong = ("--backbone", "unet?width=2", "--discriminator", "g.segmenter.json")
    command("retrain", *common(data), *wrong).refused(2, "g.segmenter.json")
