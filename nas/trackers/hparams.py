"""TensorBoard's HParams table: a row of settings and final numbers for each run.

A row is a file of its own in the run's TensorBoard folder, and is replaced when it is written
again, so that evaluating twice makes no second row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nas.comparison.record import Comparison
from nas.report.gather import Run
from nas.runs import unwritable
from nas.trackers.results import (
    Value,
    numbers_of,
    numbers_of_cell,
    settings_of,
    settings_of_cell,
)

SUFFIX = ".hparams"
"""How the names of these files end."""


def write_run(run: Run) -> None:
    """Write the row of a run.

    Raises:
        RunError: the folder cannot be written.
    """
    write_row(run.folder.tensorboard, settings_of(run), numbers_of(run))


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write a row for each finished cell of a comparison, below tensorboard/ in its folder.

    Raises:
        RunError: the folder cannot be written.
    """
    for cell in comparison.cells:
        if cell.state == "finished":
            folder = out / "tensorboard" / cell.name
            write_row(folder, settings_of_cell(cell), numbers_of_cell(cell))


def write_row(folder: Path, settings: Mapping[str, Value], numbers: Mapping[str, float]) -> None:
    """Write a row in place of the one that is there.

    Args:
        folder: of the event files of one run.
        settings: columns to filter by.
        numbers: columns to compare; also scalars of these names.

    Raises:
        RunError: the folder cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    try:
        for old in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
            old.unlink()
        with SummaryWriter(str(folder), filename_suffix=SUFFIX) as writer:
            for summary in hparams(dict(settings), dict(numbers)):
                writer.file_writer.add_summary(summary)
            for name, value in numbers.items():
                writer.add_scalar(name, value)
    except OSError as error:
        raise unwritable(folder, error) from error
