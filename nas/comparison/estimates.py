"""About how long cells take, measured on a few steps before anything trains."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from nas.comparison.cells import Cell, CellPlan, plan_of
from nas.comparison.pace import (
    Load,
    epochs_of_retraining,
    epochs_of_search,
    pace_of_retraining,
    pace_of_search,
)
from nas.comparison.recipe import Recipe
from nas.comparison.work import GENOTYPE_FILE, draw


class Estimated(NamedTuple):
    """What a cell is expected to take, its search included.

    Attributes:
        load: of all epochs, without pictures, checkpoints and scoring.
        epochs: of the retraining.
        search_epochs: of the search; 0 without one.
    """

    load: Load
    epochs: int
    search_epochs: int


def estimates(recipe: Recipe, cells: Sequence[Cell]) -> dict[Cell, Estimated]:
    """What each cell is expected to take.

    One of each method, backbone and data set is measured. For a searched discriminator, which is
    not known yet, a random one of its space stands in the retraining.
    """
    measured: dict[tuple[str, str, str], Estimated] = {}
    for cell in cells:
        key = cell.dataset, cell.backbone, cell.method
        if key not in measured:
            measured[key] = _estimate(plan_of(recipe, cell))
    return {cell: measured[cell.dataset, cell.backbone, cell.method] for cell in cells}


def _estimate(plan: CellPlan) -> Estimated:
    search_epochs, spent = 0, Load(0.0, 0.0, 0.0)
    settings, budget = plan.retrain, plan.budget
    with tempfile.TemporaryDirectory() as folder:
        if plan.search is not None:
            if plan.kind == "search":
                pace = pace_of_search(plan.search)
                search_epochs = plan.search.training.epochs
                if budget.is_compute:
                    search_epochs = epochs_of_search(pace, budget)
                spent = pace.of(search_epochs)
            draw(msgspec.structs.replace(plan, draw=plan.draw or 0), plan.search, Path(folder))
            genotype = Path(folder) / GENOTYPE_FILE
            adversary = msgspec.structs.replace(settings.adversary, genotype=genotype)
            settings = msgspec.structs.replace(settings, adversary=adversary)
        pace = pace_of_retraining(settings)
    epochs = settings.training.epochs
    if budget.is_compute:
        used = spent.flops if budget.flops is not None else spent.process_seconds
        epochs = epochs_of_retraining(pace, budget, used)
    total = zip(pace.of(epochs), spent, strict=True)
    return Estimated(Load(*(one + other for one, other in total)), epochs, search_epochs)
