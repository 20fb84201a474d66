"""What a sweep has found: a table of trials, what mattered, and the best settings."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Struct

from nas.sweep.dimensions import Value, point_name
from nas.sweep.study import Plan, Score, counted

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

State: TypeAlias = Literal["done", "pruned", "failed", "running"]

ENOUGH = 4
"""Finished trials from which on the importance of settings is estimated."""


class TriedPoint(Struct, frozen=True, kw_only=True):
    """One trial.

    Attributes:
        number: in the order in which trials began.
        point: value of each dimension.
        state: what has become of it.
        score: mean over seeds; of a pruned one, where it stopped; None where there is none.
        scores: of a finished one, of each seed.
        seconds: that its runs took, without pauses.
        reason: why it failed.
        name: of its folder below runs.
    """

    number: int
    point: dict[str, Value]
    state: State
    score: float | None
    scores: tuple[float, ...]
    seconds: float | None
    reason: str | None
    name: str


class Outcome(Struct, frozen=True, kw_only=True):
    """A sweep as it stands.

    Attributes:
        score: what was compared, on validation images.
        maximises: whether a larger one is better.
        seeds: of the runs at each point.
        trials: in the order of their numbers.
        best: number of the best finished trial.
        importance: share of the variance of the scores that goes with each dimension, from the
            largest; empty where there are too few trials, or it was not asked for.
    """

    score: Score
    maximises: bool
    seeds: tuple[int, ...]
    trials: tuple[TriedPoint, ...]
    best: int | None
    importance: dict[str, float]

    @property
    def best_trial(self) -> TriedPoint | None:
        """The best finished trial."""
        return next((trial for trial in self.trials if trial.number == self.best), None)


def outcome_of(study: Study, plan: Plan) -> Outcome:
    """What the study knows of the trials that have begun."""
    trials = tuple(_tried(trial) for trial in counted(study) if trial.params)
    done = [trial for trial in trials if trial.state == "done" and trial.score is not None]
    best = (max if plan.maximises else min)(done, key=_score, default=None)
    return Outcome(
        score=plan.score,
        maximises=plan.maximises,
        seeds=plan.seeds,
        trials=trials,
        best=best.number if best else None,
        importance={},
    )


def concluded(study: Study, plan: Plan) -> Outcome:
    """What the study knows, with the importance of each dimension."""
    outcome = outcome_of(study, plan)
    scores = {trial.score for trial in outcome.trials if trial.state == "done"}
    return msgspec.structs.replace(outcome, importance=_importance(study, plan, len(scores)))


def ended(outcome: Outcome) -> int:
    """How many trials are over."""
    return sum(trial.state != "running" for trial in outcome.trials)


def markdown(outcome: Outcome) -> str:
    """The trials from best to worst, and the importance of their settings."""
    keys = list(dict.fromkeys(key for trial in outcome.trials for key in trial.point))
    seeds = [f"seed {seed}" for seed in outcome.seeds] if len(outcome.seeds) > 1 else []
    titles = ["trial", *keys, outcome.score, *seeds, "seconds", "state"]
    lines = [_row(titles), "|---" * len(titles) + "|"]
    for trial in ranked(outcome):
        values = [_text(trial.point.get(key)) for key in keys]
        each = [_text(score) for score in trial.scores or [None] * len(seeds)] if seeds else []
        state = trial.state if trial.reason is None else f"{trial.state}: {trial.reason}"
        seconds = "-" if trial.seconds is None else f"{trial.seconds:.0f}"
        lines.append(_row([str(trial.number), *values, _text(trial.score), *each, seconds, state]))
    if outcome.importance:
        lines += ["", "| setting | share of the variance |", "|---|---|"]
        lines += [_row([key, f"{share:.0%}"]) for key, share in outcome.importance.items()]
    return "\n".join(lines) + "\n"


def comma_separated(outcome: Outcome) -> str:
    """The trials in order, a row each."""
    keys = list(dict.fromkeys(key for trial in outcome.trials for key in trial.point))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    seeds = [f"seed {seed}" for seed in outcome.seeds]
    titles = ["trial", *keys, outcome.score, *seeds, "state", "seconds", "reason", "folder"]
    writer.writerow(titles)
    for trial in outcome.trials:
        values = [trial.point.get(key) for key in keys]
        each = trial.scores or [None] * len(seeds)
        told = [trial.state, trial.seconds, trial.reason, trial.name]
        writer.writerow([trial.number, *values, trial.score, *each, *told])
    return stream.getvalue()


def ranked(outcome: Outcome) -> list[TriedPoint]:
    """Finished trials from best to worst, then the pruned, then all others."""
    order = ("done", "pruned", "running", "failed")
    sign = -1 if outcome.maximises else 1

    def place(trial: TriedPoint) -> tuple[int, float]:
        return order.index(trial.state), sign * (trial.score or 0.0)

    return sorted(outcome.trials, key=place)


def _tried(trial: FrozenTrial) -> TriedPoint:
    states: dict[str, State] = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}
    state = states.get(trial.state.name, "running")
    return TriedPoint(
        number=trial.number,
        point=dict(trial.params),
        state=state,
        score=trial.value if state in ("done", "pruned") else None,
        scores=tuple(trial.user_attrs.get("scores", ())),
        seconds=trial.user_attrs.get("seconds"),
        reason=trial.user_attrs.get("reason"),
        name=point_name(trial.params),
    )


def _score(trial: TriedPoint) -> float:
    assert trial.score is not None
    return trial.score


def _importance(study: Study, plan: Plan, scores: int) -> dict[str, float]:
    """By functional ANOVA on random forests (Hutter et al. 2014), where scores differ enough."""
    if scores < ENOUGH or len(plan.dimensions) < 2:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(seed=plan.seed)
    found = get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(value: Value | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
