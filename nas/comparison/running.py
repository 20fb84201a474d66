"""The cells of a comparison on an engine: what is still to run, what ran, what remains."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from nas.comparison.cells import Cell, plan_of, write_plan
from nas.comparison.recipe import Recipe
from nas.comparison.results import OUTCOME_FILE, keep_outcome, read_outcome
from nas.engines import FOLDER, Engine, Job, Outcome
from nas.inputs import inputs_of

STOPPED = (130, 143, -2, -15)
"""Exit codes of a cell that somebody stopped: it has not failed, and goes on the next time."""


class Progress(NamedTuple):
    """Told when a cell has ended.

    Attributes:
        cell: which.
        outcome: how.
        done: cells that have ended so far, those of before included.
        total: all cells.
        remaining: seconds until all have ended, about; None where nothing is known yet.
    """

    cell: Cell
    outcome: Outcome
    done: int
    total: int
    remaining: float | None


def pending(cells: Sequence[Cell], out: Path, retry_failed: bool) -> list[Cell]:
    """The cells that have not ended, in their order; with ``retry_failed`` those that failed too.

    Raises:
        RunError: the outcome of a cell is damaged.
    """
    left = []
    for cell in cells:
        outcome = read_outcome(cell.folder(out))
        if outcome is None or (retry_failed and outcome.exit_code):
            left.append(cell)
    return left


def run(
    recipe: Recipe,
    cells: Sequence[Cell],
    left: Sequence[Cell],
    out: Path,
    engine: Engine,
    tell: Callable[[Progress], None],
) -> None:
    """Bring cells to their end; closing whatever is running when it is interrupted.

    Args:
        recipe: of the comparison.
        cells: all of it.
        left: those to run.
        out: folder of the comparison.
        engine: that runs them.
        tell: called whenever one has ended.

    Raises:
        RunError: a cell was begun with other settings, or a file cannot be written.
    """
    for cell in left:
        write_plan(plan_of(recipe, cell), cell.folder(out))
        (cell.folder(out) / OUTCOME_FILE).unlink(missing_ok=True)
    known = durations([cell for cell in cells if cell not in left], out)
    waiting = {cell.name: cell for cell in left}
    with closing(engine.run(job_of(recipe, cell, out) for cell in left)) as outcomes:
        for outcome in outcomes:
            cell = waiting.pop(outcome.job.name)
            if outcome.exit_code not in STOPPED:
                keep_outcome(outcome)
            if outcome.succeeded:
                known.append((cell, outcome.seconds))
            remaining = remaining_seconds(list(waiting.values()), known, engine.slots)
            tell(Progress(cell, outcome, len(cells) - len(waiting), len(cells), remaining))


def job_of(recipe: Recipe, cell: Cell, out: Path) -> Job:
    """The process of a cell."""
    inputs, data = inputs_of(plan_of(recipe, cell).retrain)
    return Job(
        name=cell.name,
        command=(sys.executable, "-m", "nas.cli.compare_cell", FOLDER),
        folder=cell.folder(out),
        inputs=inputs,
        data=data,
    )


Durations = list[tuple[Cell, float]]


def durations(cells: Sequence[Cell], out: Path) -> Durations:
    """Seconds that the last process of each finished cell took."""
    found = [(cell, read_outcome(cell.folder(out))) for cell in cells]
    return [(cell, each.seconds) for cell, each in found if each and not each.exit_code]


def remaining_seconds(left: Sequence[Cell], known: Durations, slots: int) -> float | None:
    """About how long the cells that are left take.

    Each takes the mean of the known cells most like it: of its method, backbone and data set; else
    of its method; else of all.

    Args:
        left: cells that have not ended.
        known: cells with the seconds that they took.
        slots: how many run at the same time.
    """
    if not known:
        return None
    return sum(expected(cell, known) for cell in left) / max(1, min(slots, len(left)))


def expected(cell: Cell, known: Durations) -> float:
    """The mean duration of the known cells most like a cell."""
    likenesses: list[Callable[[Cell], object]] = [
        lambda each: (each.method, each.backbone, each.dataset),
        lambda each: each.method,
        lambda each: None,
    ]
    alike: list[list[float]] = [
        [seconds for other, seconds in known if like(other) == like(cell)] for like in likenesses
    ]
    return statistics.mean(next(each for each in alike if each))
