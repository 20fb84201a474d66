"""The work of one trial: its runs, one after the other.

What is done is not done again, and what was stopped goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from nas.errors import Interrupted
from nas.retrain import run_retraining
from nas.runs import RunFolder
from nas.search import run_search
from nas.settings import RetrainSettings, SearchSettings
from nas.sweep.trial import PRUNED_FILE, TrialPlan, is_finished, read_plan, run_of

Settings = TypeVar("Settings", RetrainSettings, SearchSettings)


def run_trial(folder: Path) -> None:
    """Bring the runs of a trial to their end, or leave them where it was pruned.

    Raises:
        DataError, UsageError, RunError, TrainingError, Interrupted: see `nas.errors`.
    """
    plan = read_plan(folder)
    try:
        for seed in plan.seeds:
            if (folder / PRUNED_FILE).exists():
                return
            run = run_of(folder, seed)
            if not is_finished(run):
                _train(plan, seed, run)
    except Interrupted:
        if not (folder / PRUNED_FILE).exists():
            raise


def _train(plan: TrialPlan, seed: int, run: RunFolder) -> None:
    begun = run.settings_file.exists()
    if plan.retrain is not None:
        run_retraining(_with_seed(plan.retrain, seed), run, begun)
    elif plan.search is not None:
        run_search(_with_seed(plan.search, seed), run, begun, plan.given)


def _with_seed(settings: Settings, seed: int) -> Settings:
    """The settings of the run of a seed."""
    run = msgspec.structs.replace(settings.run, seed=seed)
    return msgspec.structs.replace(settings, run=run)
