"""The work of one cell: search and derive, or draw, where its method asks for it; retrain; score.

What is done is not done again, and what was stopped goes on, so that the same call brings a cell to
its end from wherever it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from nas.comparison.cells import CellPlan, read_plan
from nas.comparison.costs import measured, read_cost
from nas.comparison.pace import (
    budget_measure,
    epochs_of_retraining,
    epochs_of_search,
    pace_of_retraining,
    pace_of_search,
)
from nas.data.cases import Subset
from nas.errors import RunError
from nas.evaluate import evaluate
from nas.networks import read_genotype
from nas.preparation import open_data
from nas.retrain import run_retraining
from nas.runs import RunFolder, unwritable
from nas.search import run_search
from nas.settings import RetrainSettings, SearchSettings
from nas.supernets import random_discriminator
from search_spaces import genotypes

GENOTYPE_FILE = "genotype.json"
SEARCH = "search"
SCORED: tuple[Subset, ...] = ("val", "test")

Settings = TypeVar("Settings", SearchSettings, RetrainSettings)


def run_cell(folder: Path) -> None:
    """Bring a cell to its end.

    Raises:
        DataError, UsageError, RunError, TrainingError, Interrupted: see `nas.errors`.
    """
    plan = read_plan(folder)
    settings = plan.retrain
    if plan.search is not None:
        if plan.kind == "search":
            search(plan, plan.search, folder)
        else:
            draw(plan, plan.search, folder)
        adversary = msgspec.structs.replace(settings.adversary, genotype=folder / GENOTYPE_FILE)
        settings = msgspec.structs.replace(settings, adversary=adversary)
    retrain(plan, settings, folder)
    score(settings, folder)


def search(plan: CellPlan, settings: SearchSettings, folder: Path) -> None:
    """Search, and keep the genotype of the last epoch."""
    run = RunFolder(folder / SEARCH)
    begun = run.settings_file.exists()
    if not (begun and "finished" in run.read_record()):
        with measured(folder, "search"):
            if begun:
                settings = _with_epochs(settings, epochs_of(run, SearchSettings))
            elif plan.budget.is_compute:
                settings = _fitted_search(plan, settings)
            run_search(settings, run, begun)
    _write(read_genotype(run.genotype_files("discriminator")[-1]), folder / GENOTYPE_FILE)


def draw(plan: CellPlan, settings: SearchSettings, folder: Path) -> None:
    """Draw the genotype of a cell from the space; the same again gives the same."""
    assert plan.draw is not None
    reader = open_data(settings.data).reader
    genotype = random_discriminator(settings, reader.channels, len(reader.classes), plan.draw)
    _write(genotype, folder / GENOTYPE_FILE)


def _write(genotype: genotypes.Genotype, path: Path) -> None:
    try:
        genotypes.write(genotype, path)
    except OSError as error:
        raise unwritable(path, error) from error


def retrain(plan: CellPlan, settings: RetrainSettings, folder: Path) -> None:
    """Train the segmenter, in the cell's own folder."""
    run = RunFolder(folder)
    begun = run.settings_file.exists()
    if begun and "finished" in run.read_record():
        return
    with measured(folder, "retrain"):
        if begun:
            settings = _with_epochs(settings, epochs_of(run, RetrainSettings))
        elif plan.budget.is_compute:
            settings = _fitted_retraining(plan, settings, folder)
        run_retraining(settings, run, begun)


def score(settings: RetrainSettings, folder: Path) -> None:
    """Score the segmenter on the validation images, where there are any, and on the test images."""
    run = RunFolder(folder)
    split = open_data(settings.data, run).split
    for subset in SCORED:
        written = folder / "evaluation" / subset / "confusions.json"
        if split.subset(subset) and not written.exists():
            evaluate(run, subset, settings.run.device)


def epochs_of(run: RunFolder, kind: type[Settings]) -> int:
    """The epochs that a run was begun with."""
    return run.read_settings(kind).training.epochs


def _fitted_search(plan: CellPlan, settings: SearchSettings) -> SearchSettings:
    """The search with as many epochs as its share of the budget allows."""
    return _with_epochs(settings, epochs_of_search(pace_of_search(settings), plan.budget))


def _fitted_retraining(plan: CellPlan, settings: RetrainSettings, folder: Path) -> RetrainSettings:
    """The retraining with as many epochs as a search has left of the budget."""
    pace = pace_of_retraining(settings)
    return _with_epochs(settings, epochs_of_retraining(pace, plan.budget, _spent(plan, folder)))


def _spent(plan: CellPlan, folder: Path) -> float:
    """What the search of a cell has taken of its budget."""
    if plan.kind != "search" or plan.search is None:
        return 0.0
    measure, _ = budget_measure(plan.budget)
    if measure == "flops":
        settings = RunFolder(folder / SEARCH).read_settings(SearchSettings)
        return pace_of_search(settings).of(settings.training.epochs).flops
    cost = read_cost(folder)
    if cost is None or not cost.complete:
        raise RunError(
            f"A part of the search in {folder} was killed before it noted its time, so it is not "
            "known what is left of the budget: delete the folder to begin the cell anew."
        )
    return cost.search_process_seconds


def _with_epochs(settings: Settings, epochs: int) -> Settings:
    training = msgspec.structs.replace(settings.training, epochs=epochs)
    return msgspec.structs.replace(settings, training=training)
