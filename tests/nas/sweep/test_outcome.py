"""What a sweep has found: order, tables, and the importance of its settings."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nas.sweep.dimensions import Dimension, Range
from nas.sweep.outcome import (
    Outcome,
    State,
    TriedPoint,
    comma_separated,
    concluded,
    ended,
    markdown,
    outcome_of,
    ranked,
)
from nas.sweep.study import Plan, default_storage, new_study, next_trial, open_storage, point_of

optuna = pytest.importorskip("optuna")


def tried(number: int, state: State, score: float | None, **changes: Any) -> TriedPoint:
    values = {
        "number": number,
        "point": {"a.b": number, "c": "x|y"},
        "state": state,
        "score": score,
        "scores": () if state != "done" else (score, score),
        "seconds": 12.4,
        "reason": None,
        "name": f"b-{number}",
    }
    return TriedPoint(**(values | changes))


FOUND = Outcome(
    score="mean_iou",
    maximises=True,
    seeds=(0, 4),
    trials=(
        tried(0, "done", 0.5, scores=(0.4, 0.6)),
        tried(1, "failed", None, reason="It is so.", seconds=None),
        tried(2, "pruned", 0.9),
        tried(3, "done", 0.75),
        tried(4, "running", None),
    ),
    best=3,
    importance={"a.b": 0.75, "c": 0.25},
)


def test_the_table_goes_from_best_to_worst() -> None:
    """By hand: finished, pruned, running, failed; a bar in a value is no border of a cell."""
    assert markdown(FOUND) == (
        "| trial | a.b | c | mean_iou | seed 0 | seed 4 | seconds | state |\n"
        "|---|---|---|---|---|---|---|---|\n"
        "| 3 | 3 | x\\|y | 0.75 | 0.75 | 0.75 | 12 | done |\n"
        "| 0 | 0 | x\\|y | 0.5 | 0.4 | 0.6 | 12 | done |\n"
        "| 2 | 2 | x\\|y | 0.9 | - | - | 12 | pruned |\n"
        "| 4 | 4 | x\\|y | - | - | - | 12 | running |\n"
        "| 1 | 1 | x\\|y | - | - | - | - | failed: It is so. |\n"
        "\n"
        "| setting | share of the variance |\n"
        "|---|---|\n"
        "| a.b | 75% |\n"
        "| c | 25% |\n"
    )
    assert [trial.number for trial in ranked(FOUND)] == [3, 0, 2, 4, 1]
    assert ended(FOUND) == 4
    assert FOUND.best_trial == FOUND.trials[3]


def test_of_a_loss_the_smallest_comes_first() -> None:
    loss = msgspec.structs.replace(FOUND, score="val_loss", maximises=False)
    assert [trial.number for trial in ranked(loss)][:2] == [0, 3]


def test_one_seed_has_no_column_of_its_own() -> None:
    one = msgspec.structs.replace(FOUND, seeds=(0,), importance={})
    assert markdown(one).startswith("| trial | a.b | c | mean_iou | seconds | state |\n")
    assert "share" not in markdown(one)


def test_the_csv_has_every_trial_in_order() -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(FOUND))))
    assert [row["trial"] for row in rows] == list("01234")
    assert rows[0] == {
        **{"trial": "0", "a.b": "0", "c": "x|y", "mean_iou": "0.5", "seed 0": "0.4"},
        **{"seed 4": "0.6", "state": "done", "seconds": "12.4", "reason": "", "folder": "b-0"},
    }
    assert (rows[1]["seed 0"], rows[1]["reason"]) == ("", "It is so.")


def conclude(
    folder: Path,
    dimensions: dict[str, Dimension],
    trials: int,
    score: Any,
    tell: Callable[[Any, Any, dict[str, Any]], None],
) -> tuple[Outcome, Outcome]:
    """A sweep whose trials end by a function, without and with the importance of settings."""
    plan = Plan(
        dimensions=dimensions,
        method="random",
        trials=trials,
        seeds=(0,),
        score=score,
        seed=0,
        prunes=False,
    )
    study = new_study(open_storage(default_storage(folder)), plan)
    while (trial := next_trial(study, plan, "me")) is not None:
        tell(study, trial, point_of(study, trial, plan))
    return outcome_of(study, plan), concluded(study, plan)


def test_importance_is_where_the_score_changes(tmp_path: Path) -> None:
    """Only one of two settings matters."""
    dimensions: dict[str, Dimension] = {"a": Range(0.0, 1.0), "idle": Range(0.0, 1.0)}

    def tell(study: Any, trial: Any, point: dict[str, Any]) -> None:
        study.tell(trial, point["a"])

    without, found = conclude(tmp_path, dimensions, 20, "mean_iou", tell)
    assert list(found.importance) == ["a", "idle"]
    assert found.importance["a"] > 0.9
    assert sum(found.importance.values()) == pytest.approx(1.0)
    assert without == msgspec.structs.replace(found, importance={})


def test_importance_is_that_of_optuna(tmp_path: Path) -> None:
    """The same trials in a study of its own."""
    dimensions: dict[str, Dimension] = {"a": Range(0.0, 1.0), "b": Range(0.0, 1.0)}
    own = optuna.create_study()
    floats = dict.fromkeys("ab", optuna.distributions.FloatDistribution(0.0, 1.0))

    def tell(study: Any, trial: Any, point: dict[str, Any]) -> None:
        value = point["a"] + 0.5 * point["b"] ** 2
        study.tell(trial, value)
        own.add_trial(optuna.trial.create_trial(params=point, distributions=floats, value=value))

    _, found = conclude(tmp_path, dimensions, 12, "val_loss", tell)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    expected = optuna.importance.get_param_importances(own, evaluator=evaluator)
    assert found.importance == pytest.approx(expected)


@pytest.mark.parametrize("trials", [1, 3])
def test_few_trials_say_nothing_of_importance(trials: int, tmp_path: Path) -> None:
    dimensions: dict[str, Dimension] = {"a": Range(0.0, 1.0), "b": Range(0.0, 1.0)}

    def tell(study: Any, trial: Any, point: dict[str, Any]) -> None:
        study.tell(trial, point["a"])

    assert conclude(tmp_path, dimensions, trials, "mean_iou", tell)[1].importance == {}


def test_the_best_of_a_loss_is_the_smallest_of_the_finished(tmp_path: Path) -> None:
    values = iter([0.5, 0.1, 0.3, 0.2])

    def tell(study: Any, trial: Any, point: dict[str, Any]) -> None:
        value = next(values)
        if value == 0.1:
            trial.report(value, 1)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)

    found, _ = conclude(tmp_path, {"a": Range(0.0, 1.0)}, 4, "val_loss", tell)
    assert found.best == 3
    assert (found.trials[1].state, found.trials[1].score) == ("pruned", 0.1)
