"""What the cells of a comparison have left in their folders."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from nas.comparison.cells import Cell
from nas.comparison.costs import read_cost
from nas.comparison.record import CellResult, ScoreName
from nas.comparison.scores import SCORES, primary
from nas.comparison.work import GENOTYPE_FILE, SEARCH, epochs_of
from nas.engines import Outcome
from nas.errors import RunError
from nas.evaluation_files import Confusions
from nas.metrics.semantic import Counts
from nas.runs import RunFolder, atomic_write
from nas.settings import RetrainSettings, SearchSettings

OUTCOME_FILE = "outcome.json"


class CellOutcome(Struct, frozen=True, kw_only=True):
    """How the last process of a cell ended, as its folder keeps it."""

    exit_code: int
    reason: str | None
    retried: bool
    seconds: float
    peak_memory: int | None


class Tested(NamedTuple):
    """What a finished cell says of the test images.

    Attributes:
        classes: names, background first.
        cases: ids.
        groups: of each case.
        matrices: (N, K, K).
    """

    classes: tuple[str, ...]
    cases: tuple[str, ...]
    groups: tuple[str | None, ...]
    matrices: Counts


class CellFound(NamedTuple):
    """A cell's result, and its test images where it is finished."""

    result: CellResult
    tested: Tested | None


def keep_outcome(outcome: Outcome) -> None:
    """Write how a cell's process ended into its folder.

    Raises:
        RunError: the file cannot be written.
    """
    kept = CellOutcome(
        exit_code=outcome.exit_code,
        reason=outcome.reason,
        retried=outcome.retried,
        seconds=outcome.seconds,
        peak_memory=outcome.peak_memory,
    )
    with atomic_write(outcome.job.folder / OUTCOME_FILE) as stream:
        stream.write(msgspec.json.encode(kept))


def read_outcome(folder: Path) -> CellOutcome | None:
    """How a cell ended; None where it has not, so that it is to run.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / OUTCOME_FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=CellOutcome)
    except (OSError, msgspec.MsgspecError) as error:
        raise RunError(f"{path} cannot be read: {error}; delete it to run the cell.") from error


def read_cell(out: Path, cell: Cell, score: ScoreName) -> CellFound:
    """A cell as it stands.

    Raises:
        RunError: a file of a finished cell is missing or damaged.
    """
    folder = cell.folder(out)
    outcome = read_outcome(folder)
    common = CellResult(
        name=cell.name,
        dataset=cell.dataset,
        backbone=cell.backbone,
        method=cell.method,
        draw=cell.draw,
        seed=cell.seed,
        state="missing",
        cost=read_cost(folder),
    )
    if outcome is None:
        return CellFound(common, None)
    if outcome.exit_code:
        failed = msgspec.structs.replace(
            common,
            state="failed",
            reason=outcome.reason,
            exit_code=outcome.exit_code,
            retried=outcome.retried,
        )
        return CellFound(failed, None)
    return _finished(common, out, folder, outcome, score)


def _finished(
    common: CellResult, out: Path, folder: Path, outcome: CellOutcome, score: ScoreName
) -> CellFound:
    run = RunFolder.open(folder, "retrain")
    record = run.read_record()
    tested = read_tested(folder, "test")
    assert tested is not None
    validated = read_tested(folder, "val")
    pooled = tested.matrices.sum(0)
    genotype = _first_that_exists(folder / GENOTYPE_FILE, run.own_genotype("discriminator"))
    search = folder / SEARCH
    searched = search.exists()
    result = msgspec.structs.replace(
        common,
        state="finished",
        retried=outcome.retried,
        score=float(primary(pooled, score)),
        validation=None if validated is None else float(primary(validated.matrices.sum(0), score)),
        scores={name: float(primary(pooled, name)) for name in SCORES},
        epochs=epochs_of(run, RetrainSettings),
        search_epochs=epochs_of(RunFolder(search), SearchSettings) if searched else None,
        genotype=None if genotype is None else str(genotype.relative_to(out)),
        search=str(search.relative_to(out)) if searched else None,
        initial_state=record.get("initial_segmenter"),
        split=record["data"]["split_hash"],
    )
    return CellFound(result, tested)


def _first_that_exists(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def read_tested(folder: Path, subset: str) -> Tested | None:
    """The confusion matrices of a subset; None where it has no images.

    Raises:
        RunError: the file is damaged, or there is none of the test images.
    """
    path = folder / "evaluation" / subset / "confusions.json"
    if subset != "test" and not path.exists():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Confusions)
    except (OSError, msgspec.MsgspecError) as error:
        raise RunError(
            f"{path} cannot be read: {error}; delete {folder / OUTCOME_FILE} to have the cell "
            "scored again."
        ) from error
    return Tested(found.classes, found.cases, found.groups, np.array(found.matrices, np.int64))
