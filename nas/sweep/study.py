"""The study of a sweep in Optuna: which points were tried, with what score, and what comes next.

A point is drawn from the seed of the sweep and the place of its trial, so that a sweep that was
stopped, or is worked on by several machines, draws no other points at random for that.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from nas.errors import RunError, UsageError
from nas.sweep.dimensions import Choices, Dimension, points

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

Method: TypeAlias = Literal["grid", "random", "tpe"]
Score: TypeAlias = Literal["mean_iou", "foreground_iou", "val_loss"]

NAME = "sweep"
ALIVE_EVERY = 60
"""Seconds between two signs of life of a trial; after three without one it is taken up again."""

BEGUN_WITH = "begun_with"
"""Attribute of a study: the settings and the plan of the sweep, as JSON."""
WORKER = "worker"
"""Attribute of a trial: who has taken it."""
REPLACES = "replaces"
"""Attribute of a trial: the number of one that it is another try of."""
SURPLUS = "surplus"
"""Attribute of a trial that two workers began at the same time, where one was left."""

START_UP = 8
"""Trials of TPE that are random, before it has seen enough to model (Optuna: 10)."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a sweep does.

    Attributes:
        dimensions: what is varied, by its key.
        method: grid takes all combinations in order, random draws them, tpe prefers what is near
            good ones (Bergstra et al. 2011).
        trials: how many points are tried.
        seeds: of the runs at each point; their scores are averaged.
        score: number of the validation images, of the best epoch.
        seed: of the points that are drawn.
        prunes: whether a run stops at an epoch whose score is below the median of earlier runs.
    """

    dimensions: dict[str, Dimension]
    method: Method
    trials: int
    seeds: tuple[int, ...]
    score: Score
    seed: int
    prunes: bool

    @property
    def maximises(self) -> bool:
        """Whether a larger score is better."""
        return self.score != "val_loss"


def default_storage(folder: Path) -> str:
    """A SQLite file in the folder of the sweep."""
    return f"sqlite:///{(folder / 'sweep.db').resolve()}"


def open_storage(url: str) -> RDBStorage:
    """The database behind a URL.

    Raises:
        UsageError: optuna is not installed.
        RunError: the database cannot be opened.
    """
    storages = _optuna().storages
    try:
        database: RDBStorage = storages.RDBStorage(
            url,
            heartbeat_interval=ALIVE_EVERY,
            grace_period=3 * ALIVE_EVERY,
            heartbeat_stale_trial_callback=try_again,
        )
    except Exception as error:  # drivers raise errors of their own
        raise RunError(
            f"The study in {url} cannot be opened: {str(error).splitlines()[0]}. Name a "
            "database that this machine reaches, such as sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/NAME (which needs psycopg2)."
        ) from error
    return database


def known_study(database: RDBStorage, plan: Plan) -> Study | None:
    """The study in a database; None where there is none."""
    optuna = _optuna()
    if NAME not in optuna.study.get_all_study_names(database):
        return None
    study: Study = optuna.load_study(study_name=NAME, storage=database, pruner=_pruner(plan))
    return study


def new_study(database: RDBStorage, plan: Plan, begun_with: str = "") -> Study:
    """A study with its queue of points; of several that make one at a time, one does.

    Args:
        database: that shall hold it.
        plan: of the sweep.
        begun_with: what its attribute `BEGUN_WITH` says.

    Raises:
        UsageError: the grid has a range.
        RunError: there is one already.
    """
    optuna = _optuna()
    direction = "maximize" if plan.maximises else "minimize"
    try:
        study: Study = optuna.create_study(
            storage=database, study_name=NAME, direction=direction, pruner=_pruner(plan)
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise RunError(
            "Another machine has begun this sweep at the same time: give the command again to "
            "work on it too."
        ) from error
    study.set_user_attr(BEGUN_WITH, begun_with)
    if plan.method == "grid":
        for point in points(plan.dimensions):
            study.enqueue_trial(point)
    return study


@contextmanager
def reaching(study: Study) -> Iterator[None]:
    """Tell the loss of a study's database in a sentence.

    Raises:
        RunError: it was lost.
    """
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except StorageInternalError as error:
        raise RunError(
            f"The database of the sweep was lost: {str(error).splitlines()[0].rstrip('.')}. What "
            "is done is kept; give the same command again."
        ) from error


def counted(study: Study) -> list[FrozenTrial]:
    """The trials of a sweep, without those that were given up for another try of their point."""
    trials = study.get_trials(deepcopy=False)
    replaced = {trial.user_attrs.get(REPLACES) for trial in trials}
    return [
        trial
        for trial in trials
        if trial.number not in replaced and not trial.user_attrs.get(SURPLUS)
    ]


def running(study: Study, worker: str) -> list[Trial]:
    """The trials that a worker began and has not brought to their end."""
    from optuna.trial import Trial, TrialState

    return [
        Trial(study, trial._trial_id)
        for trial in counted(study)
        if trial.state == TrialState.RUNNING and trial.user_attrs.get(WORKER) == worker
    ]


def next_trial(study: Study, plan: Plan, worker: str) -> Trial | None:
    """A new trial; what was queued comes first. None where so many as planned have begun.

    Args:
        study: of the sweep.
        plan: of the sweep.
        worker: who takes the trial.
    """
    from optuna.trial import TrialState

    trials = counted(study)
    queued = any(trial.state == TrialState.WAITING for trial in trials)
    if not queued and (plan.method == "grid" or len(trials) >= plan.trials):
        return None
    trial = study.ask()
    trial.set_user_attr(WORKER, worker)
    before = [each for each in counted(study) if each.number < trial.number]
    if len(before) >= plan.trials:
        trial.set_user_attr(SURPLUS, True)
        study.tell(trial, state=TrialState.FAIL)
        return None
    return trial


def point_of(study: Study, trial: Trial, plan: Plan) -> dict[str, Any]:
    """The point of a trial: its own, where it has one already; else drawn."""
    before = sum(each.number < trial.number for each in counted(study))
    study.sampler = _sampler(plan, before)
    return {key: _suggest(trial, key, each) for key, each in plan.dimensions.items()}


def queue_failed(study: Study) -> None:
    """Have the points of trials that failed be tried once more."""
    from optuna.trial import TrialState

    for trial in counted(study):
        if trial.state == TrialState.FAIL:
            try_again(study, trial)


def try_again(study: Study, trial: FrozenTrial) -> None:
    """Queue the point of a trial that has failed, or whose worker has fallen silent."""
    study.enqueue_trial(trial.params, user_attrs={REPLACES: trial.number})


def give_sign_of_life(study: Study, trials: Iterable[Trial]) -> None:
    """Tell other workers that these trials go on; take what is not told so for as long as lost."""
    from optuna.storages import fail_stale_trials

    storage: Any = study._storage
    for trial in trials:
        storage.record_heartbeat(trial._trial_id)
    fail_stale_trials(study)


def _suggest(trial: Trial, key: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return trial.suggest_categorical(key, dimension.values)
    low, high, step = dimension.low, dimension.high, dimension.step
    if isinstance(low, int) and isinstance(high, int) and (step is None or isinstance(step, int)):
        return trial.suggest_int(key, low, high, step=step or 1, log=dimension.log)
    return trial.suggest_float(key, float(low), float(high), step=step, log=dimension.log)


def _sampler(plan: Plan, place: int) -> BaseSampler:
    samplers = _optuna().samplers
    seed = (plan.seed * 1_000_003 + place) % 2**32
    if plan.method == "tpe":
        sampler: BaseSampler = samplers.TPESampler(seed=seed, n_startup_trials=START_UP)
        return sampler
    random: BaseSampler = samplers.RandomSampler(seed=seed)
    return random


def _pruner(plan: Plan) -> Any:
    pruners = _optuna().pruners
    return pruners.MedianPruner(n_warmup_steps=1) if plan.prunes else pruners.NopPruner()


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError("A sweep needs Optuna: pip install 'discriminator-nas[sweep]'.") from error
    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with")
    return optuna
