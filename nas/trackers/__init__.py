"""Where a run tells its numbers beside its own folder: TensorBoard always, others if asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nas.settings import TrackerName

if TYPE_CHECKING:
    from nas.runs import RunFolder
    from nas.tracking import Tracker


def open_tracker(
    name: TrackerName, folder: RunFolder, first_step: int, say: Callable[[str], None]
) -> Tracker:
    """The tracker of a run that this process writes.

    Args:
        name: ``tensorboard``, or ``wandb`` for Weights & Biases beside it.
        folder: of the run.
        first_step: of this process, over the whole run.
        say: prints a sentence.

    Raises:
        UsageError: the library is missing, or refuses.
        RunError: the folder cannot be written.
    """
    if name == "wandb":
        from nas.trackers.weights_and_biases import WeightsAndBiases

        return WeightsAndBiases(folder, first_step, say)
    from nas.tracking import Tracker

    return Tracker(folder, first_step, say)


def tell_results(folder: RunFolder) -> None:
    """Tell the trackers of a run its settings and final numbers, those of its report.

    TensorBoard gets a row of its HParams table. Weights & Biases gets them as the summary of the
    run, where the run was tracked there.

    Raises:
        UsageError, RunError: as `open_tracker`.
    """
    if not folder.is_written:
        return
    from nas.report.gather import Run
    from nas.trackers.hparams import write_run

    run = Run(folder)
    write_run(run)
    if run.setting("run", "tracker") == "wandb":
        from nas.trackers.weights_and_biases import summarise

        summarise(run)
