"""How much computing an epoch takes, measured on a few steps, and epochs that fit a budget."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
from torch.utils.flop_counter import FlopCounterMode

from nas.comparison.recipe import Budget
from nas.data.batches import Samples
from nas.devices import set_threads
from nas.errors import UsageError
from nas.preparation import open_data
from nas.retrain import RetrainStage
from nas.runs import RunFolder
from nas.scored_epochs import epochs_between
from nas.scoring import validate
from nas.search import SearchStage
from nas.settings import GameSettings, RetrainSettings, SearchSettings

TIMED_STEPS = 3


class Load(NamedTuple):
    """What an epoch takes.

    Attributes:
        flops: operations of its steps, each counted as one of a full batch.
        process_seconds: of the CPU, without pictures and checkpoints. A validation counts by the
            part of the epochs that have one.
        seconds: by the clock, likewise.
    """

    flops: float
    process_seconds: float
    seconds: float


class Pace(NamedTuple):
    """What epochs take, where the first ones do less.

    Attributes:
        early: an epoch before the adversary, or alpha, comes in.
        late: one after that.
        early_epochs: how many early ones there are.
    """

    early: Load
    late: Load
    early_epochs: int

    def of(self, epochs: int) -> Load:
        """What so many epochs take."""
        early = min(epochs, self.early_epochs)
        late = epochs - early
        pairs = zip(self.early, self.late, strict=True)
        return Load(*(early * first + late * then for first, then in pairs))


def epochs_within(pace: Pace, measure: str, limit: float) -> int:
    """The largest number of epochs that takes no more than a limit of one measure; may be 0.

    Args:
        pace: of the training.
        measure: ``process_seconds`` or ``flops``.
        limit: of it.
    """
    early, late = getattr(pace.early, measure), getattr(pace.late, measure)
    until = early * pace.early_epochs
    if early and limit < until:
        return max(0, math.floor(limit / early))
    return pace.early_epochs + max(0, math.floor((limit - until) / late))


def budget_measure(budget: Budget) -> tuple[str, float]:
    """Name and limit of a budget of compute."""
    if budget.flops is not None:
        return "flops", budget.flops
    assert budget.process_seconds is not None
    return "process_seconds", budget.process_seconds


def epochs_of_search(pace: Pace, budget: Budget) -> int:
    """Epochs of a search that its share of a budget of compute allows.

    Raises:
        UsageError: too few for alpha to move.
    """
    measure, limit = budget_measure(budget)
    epochs = epochs_within(pace, measure, budget.search_share * limit)
    if epochs <= pace.early_epochs:
        raise UsageError(
            f"The budget of {limit:g} {measure} leaves a search {epochs} epochs, and "
            f"{pace.early_epochs + 1} or more are needed, which take "
            f"{getattr(pace.of(pace.early_epochs + 1), measure):.3g}: raise the budget or "
            "search_share."
        )
    return epochs


def epochs_of_retraining(pace: Pace, budget: Budget, spent: float) -> int:
    """Epochs of a retraining that a budget of compute allows.

    Args:
        pace: of the retraining.
        budget: of the cell.
        spent: by its search, in the budget's measure.

    Raises:
        UsageError: not one.
    """
    measure, limit = budget_measure(budget)
    epochs = epochs_within(pace, measure, limit - spent)
    if epochs < 1:
        raise UsageError(
            f"The budget of {limit:g} {measure}, of which a search took {spent:.3g}, leaves no "
            f"epoch of the retraining, which takes {getattr(pace.of(1), measure):.3g}: raise the "
            "budget."
        )
    return epochs


def pace_of_retraining(settings: RetrainSettings) -> Pace:
    """Measure a retraining on a few of its steps; no file of it is left.

    Raises:
        DataError, UsageError: see `nas.retrain.run_retraining`.
    """
    with_adversary = settings.adversary.discriminator != "none"
    early = _last_start(settings.game) - 1 if with_adversary else 0
    set_threads(settings.run.threads)
    training = msgspec.structs.replace(settings.training, epochs=early + 1)
    settings = msgspec.structs.replace(settings, training=training)
    data = open_data(settings.data)
    with tempfile.TemporaryDirectory() as folder:
        stage = RetrainStage(settings, RunFolder(Path(folder)), data)
        return _pace(stage, stage.val_samples, early, validate_every=1)


def pace_of_search(settings: SearchSettings) -> Pace:
    """Measure a search on a few of its steps, without its diagnosis; no file of it is left.

    Raises:
        DataError, UsageError: see `nas.search.run_search`.
    """
    early = max(settings.architecture.warmup_epochs, _last_start(settings.game) - 1)
    set_threads(settings.run.threads)
    settings = msgspec.structs.replace(
        settings,
        training=msgspec.structs.replace(settings.training, epochs=early + 1),
        architecture=msgspec.structs.replace(settings.architecture, diagnose_every=0),
    )
    data = open_data(settings.data)
    with tempfile.TemporaryDirectory() as folder:
        stage = SearchStage(settings, RunFolder(Path(folder)), data)
        return _pace(stage, stage.samples, early, epochs_between(settings))


def _last_start(game: GameSettings) -> int:
    """The first epoch, counted from 1, in which everything takes part."""
    unlabelled = game.unlabelled_start if game.unlabelled_weight else 1
    return max(game.adversarial_start, unlabelled)


def _pace(
    stage: RetrainStage | SearchStage, judged: Samples, early: int, validate_every: int
) -> Pace:
    late = _load(stage, judged, early, validate_every)
    return Pace(_load(stage, judged, 0, validate_every) if early else late, late, early)


def _load(
    stage: RetrainStage | SearchStage, judged: Samples, epoch: int, validate_every: int
) -> Load:
    """What an epoch takes, from its first steps; the very first one prepares and is not timed."""
    with FlopCounterMode(display=False) as counter:
        stage.step(epoch, 0)
    steps = min(TIMED_STEPS, stage.steps)
    process, clock = _timed_steps(stage, epoch, steps)
    share = stage.steps / steps
    before = time.process_time(), time.monotonic()
    if len(judged):
        game = stage.game
        validate(game.segmenter, game.criterion, judged, stage.data.classes, _ids(stage))
    return Load(
        float(counter.get_total_flops()) * stage.steps,
        process * share + (time.process_time() - before[0]) / validate_every,
        clock * share + (time.monotonic() - before[1]) / validate_every,
    )


def _timed_steps(stage: RetrainStage | SearchStage, epoch: int, steps: int) -> tuple[float, float]:
    process, clock = time.process_time(), time.monotonic()
    for step in range(steps):
        stage.step(epoch, step)
    return time.process_time() - process, time.monotonic() - clock


def _ids(stage: RetrainStage | SearchStage) -> tuple[str, ...] | None:
    """The cases that an epoch ends with: of a search, the architecture half."""
    return tuple(stage.architecture_half) if isinstance(stage, SearchStage) else None
