"""nas-evaluate: the table, the files, and the runs that it cannot use."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.mark.parametrize(("extra", "subset"), [((), "test"), (("--split", "val"), "val")])
def test_it_prints_a_table_and_writes_files(
    command: Command, copied: Callable[[str], Path], extra: tuple[str, ...], subset: str
) -> None:
    path = copied("retrain")
    result = command("evaluate", path, "--device", "cpu", *extra)
    assert result.code == 0, result
    assert f"2 {subset} images" in " ".join(result.out.split())
    assert f"Next: nas-predict {path}" in result.out
    out = path / "evaluation" / subset
    assert sorted(each.name for each in out.iterdir()) == [
        *("cases.csv", "cases.png", "confusions.json", "scores.json", "summary.json")
    ]
    assert len(list(csv.DictReader((out / "cases.csv").open()))) == 2
    mean = json.loads((out / "scores.json").read_text())["pooled"]["iou"]["mean"]
    assert f"{100 * mean:.1f}" in result.out
    text = " ".join(result.out.split())
    for words in ("at 32x32 pixels", "bootstrap over 2 images", "HD95", "calibration error"):
        assert words in text
    summary = json.loads((out / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == 2
    assert Path(summary["metric_per_case"][0]["reference_file"]).exists()


def test_at_stored_size(command: Command, copied: Callable[[str], Path]) -> None:
    path = copied("retrain")
    result = command("evaluate", path, "--device", "cpu", "--at", "stored")
    assert result.code == 0, result
    assert "2 test images at stored size" in " ".join(result.out.split())
    rows = list(csv.DictReader((path / "evaluation" / "test_stored" / "cases.csv").open()))
    assert {row["height"] for row in rows} == {"40"}
    assert not (path / "evaluation" / "test").exists()


def test_curves_on_demand(command: Command, copied: Callable[[str], Path]) -> None:
    path = copied("retrain")
    result = command("evaluate", path, "--device", "cpu", "--curves")
    assert result.code == 0, result
    out = path / "evaluation" / "test"
    assert (out / "roc.png").stat().st_size > 1000
    (areas,) = json.loads((out / "areas.json").read_text()).values()
    assert 0 <= areas["roc_auc"] <= 1
    assert f"{100 * areas['average_precision']:.1f}" in result.out


def remove(path: Path) -> None:
    path.unlink()


def garbage(path: Path) -> None:
    path.write_bytes(b"123")


def take_last(path: Path) -> None:
    path.write_bytes((path.parent / "last.pt").read_bytes())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove, "has not saved this checkpoint yet"),
        (garbage, "is damaged or is no checkpoint"),
        (take_last, "of kind retrain, version 1; segmenter"),
    ],
)
def test_a_segmenter_that_cannot_be_used_is_said(
    command: Command, copied: Callable[[str], Path], damage: Callable[[Path], None], words: str
) -> None:
    path = copied("retrain")
    damage(path / "checkpoints" / "segmenter.pt")
    command("evaluate", path, "--device", "cpu").refused(4, words)


def test_the_wrong_run_or_device_is_said(command: Command, finished: Path) -> None:
    command("evaluate", finished / "search").refused(4, "holds a run of nas-search")
    command("evaluate", "nothing").refused(4, "is not a run's folder")
    command("evaluate", finished / "retrain", "--device", "cuda:99").refused(2, "cuda:99")


def test_data_that_is_gone_is_said(command: Command, copied: Callable[[str], Path]) -> None:
    path = copied("retrain")
    settings = path / "settings.toml"
    settings.write_text(settings.read_text().replace("/data", "/gone"))
    command("evaluate", path, "--device", "cpu").refused(3, "There is no folder")


def test_results_that_cannot_be_written_are_said(
    command: Command, copied: Callable[[str], Path]
) -> None:
    path = copied("retrain")
    (path / "evaluation").write_text("a file")
    command("evaluate", path, "--device", "cpu").refused(4, "Cannot write")
