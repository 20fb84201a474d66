"""One trial of a sweep: its folder, with the runs at a point, a seed each, and their score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from nas.anchoring import DATA_PATHS
from nas.errors import RunError
from nas.runs import RunFolder, atomic_write, decode_path, without_none
from nas.settings import RetrainSettings, SearchSettings
from nas.sweep.study import Score

PLAN_FILE = "trial.json"
PRUNED_FILE = "pruned"
"""A trial whose folder has this file is asked to save and leave."""

CHANGEABLE = {
    "run": ("device", "threads", "streams", "checkpoint_minutes", "tracker"),
    "data": ("cache",),
}
"""Settings, by their table, that a trial may go on with though they have changed."""


class NoScore(Exception):
    """A finished run has no score; the sentence says why."""


class TrialPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process of a trial does; written as trial.json into its folder.

    Attributes:
        seeds: of the runs, which come one after the other.
        retrain: settings of the runs, where they are retrainings.
        search: settings of the runs, where they are searches.
        given: names of settings that the recipe or options have, which a budget may not change.
    """

    seeds: tuple[int, ...]
    retrain: RetrainSettings | None = None
    search: SearchSettings | None = None
    given: tuple[str, ...] = ()

    @property
    def settings(self) -> RetrainSettings | SearchSettings:
        """Settings of the runs."""
        settings = self.retrain or self.search
        assert settings is not None
        return settings


def run_of(folder: Path, seed: int) -> RunFolder:
    """The run of a seed in the folder of a trial."""
    return RunFolder(folder / f"seed-{seed}")


def is_finished(run: RunFolder) -> bool:
    """Whether a run has come to its end."""
    return run.record_file.exists() and "finished" in run.read_record()


def all_finished(folder: Path, seeds: tuple[int, ...]) -> bool:
    """Whether all runs of a trial have come to their ends."""
    return all(is_finished(run_of(folder, seed)) for seed in seeds)


def best_scores(folder: Path, seeds: tuple[int, ...], score: Score) -> list[float]:
    """The score of the best epoch of each run of a trial.

    Raises:
        NoScore: a run has none.
    """
    return [best_score(run_of(folder, seed), score) for seed in seeds]


def best_score(run: RunFolder, score: Score) -> float:
    """The score of a run's best epoch.

    Raises:
        NoScore: no epoch has one.
    """
    values = [value for _, value in scores_of(run, score)]
    if not values:
        raise NoScore(f"{run.path} has no {score} of validation images.")
    return min(values) if score == "val_loss" else max(values)


def scores_of(run: RunFolder, score: Score) -> list[tuple[int, float]]:
    """The epochs of a run so far, from 1, with the score of each that has one."""
    records = run.read_metrics()
    return [(each["epoch"], each[score]) for each in records if each.get(score) is not None]


def seconds_of(folder: Path, seeds: tuple[int, ...]) -> float:
    """Seconds that the finished runs of a trial took."""
    runs = [run_of(folder, seed) for seed in seeds]
    return sum(float(run.read_record()["seconds"]) for run in runs if is_finished(run))


def write_plan(plan: TrialPlan, folder: Path) -> None:
    """Write trial.json; a trial that has begun must have the same plan.

    Raises:
        RunError: it has begun with another plan, or the file cannot be written.
    """
    from nas.comparison.cells import first_difference

    if any(run_of(folder, seed).settings_file.exists() for seed in plan.seeds):
        before = read_plan(folder)
        difference = first_difference(fixed(before.settings), fixed(plan.settings))
        if difference is not None:
            raise RunError(
                f"The runs in {folder} were begun with {difference}: go on with the settings as "
                "they were, or choose another --out."
            )
    with atomic_write(folder / PLAN_FILE) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(plan, enc_hook=str), indent=2))


def read_plan(folder: Path) -> TrialPlan:
    """The plan of a trial.

    Raises:
        RunError: it cannot be read.
    """
    path = folder / PLAN_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrialPlan, dec_hook=decode_path)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error


def fixed(settings: RetrainSettings | SearchSettings, anywhere: bool = False) -> dict[str, Any]:
    """Settings as plain values, without what may change from one start to the next.

    Args:
        settings: of runs.
        anywhere: whether paths of data may change too, as they do between machines.
    """
    values: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    changeable = {**CHANGEABLE, "data": DATA_PATHS} if anywhere else CHANGEABLE
    for table, names in changeable.items():
        for name in names:
            values.get(table, {}).pop(name, None)
    found: dict[str, Any] = without_none(values)
    return found
