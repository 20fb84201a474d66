"""One trial: its plan, scores and times from what its runs have recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.errors import RunError
from nas.runs import RunFolder
from nas.settings import DataSettings, RetrainSettings, RunSettings, SearchSettings
from nas.sweep.trial import (
    NoScore,
    TrialPlan,
    all_finished,
    best_score,
    best_scores,
    fixed,
    read_plan,
    run_of,
    scores_of,
    seconds_of,
    write_plan,
)

RECORDS = [
    {"epoch": 1, "mean_iou": 0.2, "val_loss": 0.9},
    {"epoch": 2, "mean_iou": 0.7, "val_loss": None},
    {"epoch": 3, "mean_iou": 0.5, "val_loss": 0.4},
    {"epoch": 4, "val_loss": 0.6},
]
SETTINGS = RetrainSettings(backbone="unet", data=DataSettings(data_root=Path("/d"), groups=None))


def written(folder: Path, seed: int, finished: bool = True) -> RunFolder:
    run = run_of(folder, seed)
    run.path.mkdir(parents=True)
    run.metrics_file.write_text("".join(json.dumps(each) + "\n" for each in RECORDS))
    ending = {"finished": "then", "seconds": 2.5 + seed} if finished else {}
    run.record_file.write_text(json.dumps(ending))
    return run


def test_the_best_epoch_is_the_largest_or_of_a_loss_the_smallest(tmp_path: Path) -> None:
    run = written(tmp_path, 0)
    assert best_score(run, "mean_iou") == 0.7
    assert best_score(run, "val_loss") == 0.4
    assert scores_of(run, "val_loss") == [(1, 0.9), (3, 0.4), (4, 0.6)]
    with pytest.raises(NoScore, match="no foreground_iou"):
        best_score(run, "foreground_iou")


def test_a_trial_is_finished_with_all_its_runs(tmp_path: Path) -> None:
    written(tmp_path, 0)
    assert not all_finished(tmp_path, (0, 3))
    written(tmp_path, 1, finished=False)
    assert not all_finished(tmp_path, (0, 1))
    written(tmp_path, 3)
    assert all_finished(tmp_path, (0, 3))
    assert best_scores(tmp_path, (0, 3), "mean_iou") == [0.7, 0.7]
    assert seconds_of(tmp_path, (0, 1, 3)) == 2.5 + 5.5


@pytest.mark.parametrize(
    "plan",
    [
        TrialPlan(seeds=(1, 2), retrain=SETTINGS, given=("epochs",)),
        TrialPlan(seeds=(0,), search=SearchSettings(backbone="unet")),
    ],
)
def test_a_plan_is_read_as_it_was_written(plan: TrialPlan, tmp_path: Path) -> None:
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path) == plan


def test_a_trial_that_has_begun_keeps_its_settings(tmp_path: Path) -> None:
    plan = TrialPlan(seeds=(0,), retrain=SETTINGS)
    other = RetrainSettings(backbone="fcn32s", data=SETTINGS.data)
    write_plan(TrialPlan(seeds=(0,), retrain=other), tmp_path)
    write_plan(plan, tmp_path)
    run_of(tmp_path, 0).path.mkdir()
    run_of(tmp_path, 0).settings_file.write_text("")
    with pytest.raises(RunError, match="begun with backbone = unet, and now it is fcn32s"):
        write_plan(TrialPlan(seeds=(0,), retrain=other), tmp_path)
    faster = RetrainSettings(backbone="unet", data=SETTINGS.data, run=RunSettings(threads=8))
    write_plan(TrialPlan(seeds=(0,), retrain=faster), tmp_path)
    assert read_plan(tmp_path).settings.run.threads == 8


def test_paths_of_data_may_differ_between_machines() -> None:
    other = RetrainSettings(backbone="unet", data=DataSettings(data_root=Path("/e")))
    assert fixed(SETTINGS) != fixed(other)
    assert fixed(SETTINGS, anywhere=True) == fixed(other, anywhere=True)
    deeper = RetrainSettings(backbone="unet", data=DataSettings(image_size="32"))
    assert fixed(SETTINGS, anywhere=True) != fixed(deeper, anywhere=True)


def test_a_damaged_plan_is_told(tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text("{")
    with pytest.raises(RunError, match=r"trial\.json cannot be read"):
        read_plan(tmp_path)
