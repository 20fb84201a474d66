"""nas-render: pictures by suffix, and files that are no genotypes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces import cell_genotype, genotypes

Command = Callable[..., Any]
SIGNATURES = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG", "dot": b"digraph"}


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_the_suffix_chooses_the_kind(command: Command, finished: Path, suffix: str) -> None:
    assert command("render", finished / "genotype.json", "-o", f"cells.{suffix}").code == 0
    assert SIGNATURES[suffix] in Path(f"cells.{suffix}").read_bytes()[:2000]


def test_probabilities_are_drawn_beside(command: Command, finished: Path) -> None:
    arguments = (finished / "genotype.json", "-o", "c.svg", "--probabilities", "p.png")
    assert command("render", *arguments).code == 0
    assert Path("p.png").read_bytes().startswith(SIGNATURES["png"])


def test_without_parameters_there_are_no_probabilities(command: Command, finished: Path) -> None:
    whole = genotypes.read(finished / "genotype.json")
    bare = cell_genotype.CellGenotype(whole.normal, whole.reduction, whole.network)
    genotypes.write(bare, "bare.json")
    assert command("render", "bare.json", "-o", "c.dot").code == 0
    result = command("render", "bare.json", "-o", "d.dot", "--probabilities", "p.png")
    result.refused(2, "no architecture parameters")
    assert not Path("d.dot").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1}', "not a genotype"),
        (b'{"format": "discrim', "truncated"),
        (b"\x89PNG", "malformed"),
        (b'{"format": "discriminator-nas/genotype", "version": 9}', "version 9"),
    ],
)
def test_what_is_no_genotype_is_said(command: Command, content: bytes, words: str) -> None:
    Path("g.json").write_bytes(content)
    command("render", "g.json").refused(4, "g.json", words)


def test_what_cannot_be_read_or_written_is_said(command: Command, finished: Path) -> None:
    genotype = finished / "genotype.json"
    command("render", "missing.json").refused(4, "missing.json: No such file")
    command("render", ".").refused(4, "Is a directory")
    command("render", genotype, "-o", "cells.bmp").refused(2, ".bmp")
    command("render", genotype, "-o", "cells").refused(2, "no suffix")
    command("render", genotype, "-o", "nowhere/cells.svg").refused(4, "nowhere/cells.svg")
    wrong = (genotype, "-o", "c.dot", "--probabilities", "p.txt")
    command("render", *wrong).refused(2, ".txt")
