"""Takes the trials of a study one by one. Any number of workers may share a study."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from nas.errors import Interrupted
from nas.sweep.study import next_point
from nas.sweep.trial import Pruned, RunFailed, Trials

if TYPE_CHECKING:
    from optuna import Study, Trial


def take_one(study: Study, trials: Trials) -> None:
    """Try the next point of a study, and tell it what came out.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the run is saved and its point is the next to be tried.
    """
    from optuna import TrialPruned

    def objective(trial: Trial) -> float:
        point = next_point(study, trial, trials.recipe.plan)
        try:
            return trials.run(point, trial)
        except Pruned as stopped:
            raise TrialPruned from stopped
        except RunFailed as failure:
            trial.set_user_attr("reason", str(failure))
            raise
        except Interrupted:
            study.enqueue_trial(point)
            trial.set_user_attr("interrupted", True)
            raise

    with _stops_as_errors():
        study.optimize(objective, n_trials=1, catch=RunFailed)


@contextmanager
def _stops_as_errors() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise, wherever the worker is."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("Stopped; what was running is saved.", number)

    previous: dict[int, Any] = {
        each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
