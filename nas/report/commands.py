"""The commands that repeat a run, evaluate it and go on with it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.comparison.cells import CELLS
from nas.comparison.record import Comparison
from nas.networks import is_genotype
from nas.report.blocks import Block, Commands
from nas.report.gather import Run


def run_commands(run: Run) -> Block:
    """What does the same again, each with a word on it."""
    return Commands(list(_commands(run)))


def repeat_command(run: Run) -> str:
    """The command that trains with the same settings, genotypes and split in another folder."""
    words = [f"nas-{run.kind}", "--config", str(run.folder.settings_file)]
    words += _own_genotypes(run) if run.kind == "retrain" else []
    words += ["--run-dir", f"{run.path}-again"]
    return shlex.join(words)


def _own_genotypes(run: Run) -> Iterator[str]:
    """Options that name the run's own copies of genotypes instead of files elsewhere."""
    discriminator = run.folder.own_genotype("discriminator")
    adversary: dict[str, Any] = run.settings.get("adversary", {})
    if discriminator.is_file():
        option = "--genotype" if adversary.get("genotype") else "--discriminator"
        yield from (option, str(discriminator))
    segmenter = run.folder.own_genotype("segmenter")
    backbone = str(run.settings.get("backbone", ""))
    name, question, options = backbone.partition("?")
    if segmenter.is_file() and is_genotype(name):
        yield from ("--backbone", f"{segmenter}{question}{options}")


def evaluate_command(run: Run) -> str:
    """The command that scores the run on the images it was not trained on."""
    split = run.split or {}
    subset = next((each for each in ("test", "val", "train") if split.get(each)), "test")
    option = [] if subset == "test" else ["--split", subset]
    return shlex.join(["nas-evaluate", str(run.path), *option])


def _commands(run: Run) -> Iterator[tuple[str, str]]:
    path = str(run.path)
    if command := run.record.get("command"):
        yield "As it was started", str(command)
    yield "The same again, in another folder", repeat_command(run)
    if not run.is_finished:
        yield (
            "Go on from the last checkpoint",
            shlex.join([f"nas-{run.kind}", "--run-dir", path, "--resume"]),
        )
    if run.kind == "search":
        yield "Its genotype as a file", shlex.join(["nas-derive", path, "-o", "genotype.json"])
    for each in run.evaluations:
        words = ["nas-evaluate", path, "--split", each.subset, "--at", each.at]
        yield f"Scores on {each.title}", shlex.join(words + ["--curves"] * (each.areas is not None))
    if run.kind == "retrain" and not run.evaluations:
        yield "Scores", evaluate_command(run)
    yield "This page", shlex.join(["nas-report", path])


def comparison_commands(path: Path, comparison: Comparison) -> Block:
    """What goes on with a comparison or repeats it, and pages of its cells."""
    cell = next((each.name for each in comparison.cells if each.state == "finished"), None)
    commands = [
        ("Go on where it was, or do the same again with another --out", comparison.command),
        ("This page", shlex.join(["nas-report", str(path)])),
    ]
    if cell is not None:
        folder = str(path / CELLS / cell)
        commands.append(("The page of one training", shlex.join(["nas-report", folder])))
    return Commands(commands)
