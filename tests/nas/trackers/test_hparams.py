"""HParams rows, read back by TensorBoard itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.comparison.record import read
from nas.errors import RunError
from nas.report.gather import open_run
from nas.trackers.hparams import SUFFIX, write_comparison, write_row, write_run

EXAMPLE = Path(__file__).parents[1] / "comparison/example.json"


def row(folder: Path) -> tuple[dict[str, Any], dict[str, float], list[str]]:
    """Settings and numbers of a row, and the names of the table's columns of numbers."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(folder)).Reload()
    content = events.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(content["_hparams_/session_start_info"])
    experiment = HParamsPluginData.FromString(content["_hparams_/experiment"]).experiment
    settings = {
        name: getattr(value, value.WhichOneof("kind"))
        for name, value in start.session_start_info.hparams.items()
    }
    numbers = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
    assert all(len(events.Scalars(tag)) == 1 for tag in numbers)
    return settings, numbers, [each.name.tag for each in experiment.metric_infos]


def test_a_row_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    settings = {"lr": 0.5, "backbone": "unet", "resume": True}
    numbers = {"test/mean_iou": 0.75, "seconds": 90.0}
    write_row(tmp_path, settings, numbers)
    assert row(tmp_path) == (settings, numbers, ["test/mean_iou", "seconds"])


def test_a_row_replaces_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.other").touch()
    for value in (0.25, 0.5):
        write_row(tmp_path, {"lr": 1.0}, {"score": value})
    assert row(tmp_path)[1] == {"score": 0.5}
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names[0] == "events.out.tfevents.1.other"
    assert len(names) == 2 and names[1].endswith(SUFFIX)


def test_a_run_has_its_settings_and_the_numbers_of_its_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"kind": "retrain", "seconds": 9.0}))
    settings = 'backbone = "unet"\n[training]\nepochs = 2\n[data]\nclass_names = ["a", "b"]\n'
    (tmp_path / "settings.toml").write_text(settings)
    records = [{"epoch": 1, "mean_iou": 0.5}, {"epoch": 2, "mean_iou": 0.25}]
    lines = "".join(json.dumps(each) + "\n" for each in records)
    (tmp_path / "metrics.jsonl").write_text(lines)
    out = tmp_path / "evaluation/test"
    out.mkdir(parents=True)
    iou = {"iou": {"mean": 0.75, "mean_foreground": None}}
    surface = {"hd95": {"mean_foreground": 8.0}}
    (out / "scores.json").write_text(json.dumps({"pooled": iou, "surface": surface}))
    write_run(open_run(tmp_path))
    found, numbers, columns = row(tmp_path / "tensorboard")
    assert found == {
        "kind": "retrain",
        "backbone": "unet",
        "training.epochs": 2.0,
        "data.class_names": "a, b",
    }
    assert numbers == {
        "training/epochs": 2.0,
        "training/seconds": 9.0,
        "training/best_mean_iou": 0.5,
        "test/mean_iou": 0.75,
        "test/hd95": 8.0,
    }
    assert columns == list(numbers)


def test_a_comparison_has_a_row_for_each_finished_cell(tmp_path: Path) -> None:
    comparison = read(EXAMPLE)
    write_comparison(comparison, tmp_path)
    rows = {each.parent for each in tmp_path.glob(f"tensorboard/**/*{SUFFIX}")}
    finished = {each.name: each for each in comparison.cells if each.state == "finished"}
    assert {str(each.relative_to(tmp_path / "tensorboard")) for each in rows} == set(finished)
    name, cell = next(item for item in finished.items() if item[1].draw is not None)
    settings, numbers, _ = row(tmp_path / "tensorboard" / name)
    assert settings == {
        "dataset": cell.dataset,
        "backbone": cell.backbone,
        "method": cell.method,
        "seed": cell.seed,
        "draw": cell.draw,
    }
    assert numbers["primary score"] == pytest.approx(cell.score)
    assert cell.cost is not None
    assert numbers["training/seconds"] == pytest.approx(cell.cost.seconds)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot write"):
        write_row(tmp_path / "file", {}, {"a": 1.0})
