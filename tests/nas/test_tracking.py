"""Records that a run leaves: metrics.jsonl, TensorBoard, notes, pictures, remaining time."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nas.errors import RunError
from nas.runs import RunFolder
from nas.tracking import TerminalProgress, Tracker, duration, reading_progress


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def events(folder: RunFolder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder.tensorboard))
    accumulator.Reload()
    return accumulator


def test_an_epoch_is_recorded_in_both_places(folder: RunFolder) -> None:
    with Tracker(folder) as tracker:
        tracker.scalars({"loss": 2.0}, 0, "step")
        tracker.epoch({"epoch": 1, "loss": 0.5, "kind": "text"}, step=4)
    assert folder.read_metrics() == [{"epoch": 1, "loss": 0.5, "kind": "text"}]
    found = events(folder)
    assert [(each.step, each.value) for each in found.Scalars("step/loss")] == [(0, 2.0)]
    assert [(each.step, each.value) for each in found.Scalars("epoch/loss")] == [(4, 0.5)]
    assert set(found.Tags()["scalars"]) == {"step/loss", "epoch/loss"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_undefined_becomes_null(folder: RunFolder, value: float) -> None:
    with Tracker(folder) as tracker:
        tracker.epoch({"epoch": 1, "mean_iou": value}, step=1)

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    record = json.loads(folder.metrics_file.read_text(), parse_constant=refuse)
    assert record == {"epoch": 1, "mean_iou": None}
    assert "epoch/mean_iou" not in events(folder).Tags()["scalars"]


def test_curves_of_a_resumed_run_have_each_step_once(folder: RunFolder) -> None:
    with Tracker(folder) as tracker:
        for step in range(5):
            tracker.scalars({"loss": float(step)}, step, "step")
    with Tracker(folder, first_step=3) as tracker:
        for step in range(3, 6):
            tracker.scalars({"loss": 10.0 + step}, step, "step")
    found = [(each.step, each.value) for each in events(folder).Scalars("step/loss")]
    assert found == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 13.0), (4, 14.0), (5, 15.0)]


def test_a_note_is_said_each_time_and_written_once(folder: RunFolder) -> None:
    said: list[str] = []
    for _ in range(2):
        with Tracker(folder, say=said.append) as tracker:
            tracker.note("First.")
            tracker.note("First. And more.")
    assert said == ["First.", "First. And more."] * 2
    assert (folder.path / "notes.txt").read_text() == "First.\nFirst. And more.\n"


def test_a_picture_is_a_file_and_in_tensorboard(folder: RunFolder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    with Tracker(folder) as tracker:
        tracker.picture("cases", pixels, epoch=3, step=12)
    written = Image.open(folder.pictures / "cases_0003.png")
    assert np.array_equal(np.asarray(written), pixels)
    (image,) = events(folder).Images("cases")
    assert (image.step, image.height, image.width) == (12, 5, 7)


@pytest.mark.parametrize("name", ["notes.txt", "pictures", "metrics.jsonl", "tensorboard"])
def test_what_cannot_be_written_is_said(folder: RunFolder, name: str) -> None:
    blocked = folder.path / name
    if "." in name:
        blocked.mkdir()
    else:
        blocked.write_text("a file")
    with pytest.raises(RunError, match=rf"Cannot write .*{name}"), Tracker(folder) as tracker:
        tracker.note("a note")
        tracker.picture("cases", np.zeros((2, 2, 3), np.uint8), 1, 1)
        tracker.epoch({"epoch": 1}, 1)


def test_a_full_disk_under_tensorboard_is_said(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Tracker(folder) as tracker:
        monkeypatch.setattr(tracker._board, "add_scalar", fail)
        monkeypatch.setattr(tracker._board, "close", fail)
        with pytest.raises(RunError, match="No space left"):
            tracker.scalars({"loss": 1.0}, 0, "step")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 0 min"),
        (2 * 3600 + 5 * 60 + 59, "2 h 5 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_remaining_time_goes_by_the_speed_of_this_process() -> None:
    progress = TerminalProgress("title", steps=100, done=40)
    assert progress.remaining(done=50, seconds=20.0) == "1 min 40 s"
    assert progress.remaining(done=40, seconds=20.0) == "unknown"
    assert progress.remaining(done=100, seconds=60.0) == "0 s"


def test_lines_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress("title", steps=2, done=0) as progress:
        progress.advance()
        progress.say("epoch [1/2]: " + "long " * 40)
    assert capsys.readouterr().out == "epoch [1/2]: " + "long " * 40 + "\n"


def test_reading_says_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with reading_progress("reading") as told:
        told(1, 2)
        told(2, 2)
    assert capsys.readouterr().out.strip() == ""
