"""The study of a sweep in Optuna: which points were tried, with what score, and what comes next.

A point is drawn from the seed of the sweep and the number of its trial, so that a sweep that was
stopped, or is worked on by several machines, draws no other points for that.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from nas.errors import RunError, UsageError
from nas.sweep.dimensions import Choices, Dimension, points

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler

Method: TypeAlias = Literal["grid", "random", "tpe"]
Score: TypeAlias = Literal["mean_iou", "foreground_iou", "val_loss"]

NAME = "sweep"
ALIVE_EVERY = 60
"""Seconds between two signs of life of a trial; after three without one it is taken up again."""

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


def open_study(plan: Plan, storage: str) -> Study:
    """The study behind a URL, made with its queue of points if there is none.

    Raises:
        UsageError: optuna is not installed, or the grid has a range.
        RunError: the storage cannot be opened.
    """
    optuna = _optuna()
    direction = "maximize" if plan.maximises else "minimize"
    try:
        database = optuna.storages.RDBStorage(
            storage,
            heartbeat_interval=ALIVE_EVERY,
            grace_period=3 * ALIVE_EVERY,
            heartbeat_stale_trial_callback=_take_up_again,
        )
        known = NAME in optuna.study.get_all_study_names(database)
        study = optuna.create_study(
            storage=database,
            study_name=NAME,
            direction=direction,
            load_if_exists=True,
            pruner=_pruner(plan),
        )
    except Exception as error:  # drivers raise errors of their own
        raise RunError(
            f"The study in {storage} cannot be opened: {str(error).splitlines()[0]}. Name a "
            "database that this machine reaches, such as sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/NAME (which needs psycopg2)."
        ) from error
    if not known and plan.method == "grid":
        for point in points(plan.dimensions):
            study.enqueue_trial(point)
    return study


def next_point(study: Study, trial: Trial, plan: Plan) -> dict[str, Any]:
    """The point of a new trial; what was queued comes first."""
    study.sampler = _sampler(plan, trial.number)
    return {key: _suggest(trial, key, each) for key, each in plan.dimensions.items()}


def _take_up_again(study: Study, trial: Any) -> None:
    """Queue the point of a trial whose machine has fallen silent."""
    study.enqueue_trial(trial.params)


def _suggest(trial: Trial, key: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return trial.suggest_categorical(key, dimension.values)
    low, high, step = dimension.low, dimension.high, dimension.step
    if isinstance(low, int) and isinstance(high, int) and (step is None or isinstance(step, int)):
        return trial.suggest_int(key, low, high, step=step or 1, log=dimension.log)
    return trial.suggest_float(key, float(low), float(high), step=step, log=dimension.log)


def _sampler(plan: Plan, number: int) -> BaseSampler:
    samplers = _optuna().samplers
    seed = (plan.seed * 1_000_003 + number) % 2**32
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
    return optuna
