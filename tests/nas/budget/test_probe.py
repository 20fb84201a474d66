"""The process that measures: real steps, in time, and with the errors of a search."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from nas.budget import probe as probes
from nas.budget.limits import Measured, Unmeasured
from nas.budget.probe import probe
from nas.budget.probe_messages import Answer, Refusal, Request, decoded, encoded
from nas.budget.timetable import Timetable
from nas.errors import DataError, RunError
from nas.replay.recordings import Recordings
from nas.runs import RunFolder
from nas.settings import (
    ArchitectureSettings,
    CellSettings,
    DataSettings,
    RunSettings,
    SearchSettings,
    TrainingSettings,
)


@pytest.fixture
def settings(tmp_path: Path) -> SearchSettings:
    """A search of cells on eight noisy images."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(10):
        image = rng.integers(0, 255, (32, 32), np.uint8)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{number}.png")
        Image.fromarray(image // 128).save(tmp_path / "data" / "masks" / f"{number}.png")
    return SearchSettings(
        backbone="unet?width=2&depth=1",
        data=DataSettings(
            dataset="folder",
            data_root=tmp_path / "data",
            image_size="32",
            train_images=8,
            val_images=1,
        ),
        cell=CellSettings(
            layout="NR", channels=2, nodes=1, operations=("skip_connect", "sep_conv_3x3")
        ),
        training=TrainingSettings(epochs=3, batch_size=2),
        architecture=ArchitectureSettings(diagnose_every=3, warmup_epochs=1),
        run=RunSettings(device="cpu", threads=1),
    )


def test_every_part_of_the_search_is_measured_and_nothing_is_left(
    settings: SearchSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(probes.ranks.MARKS, ("0", "0", "1", "nowhere", "1"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    before, noise = sorted(tmp_path.rglob("*")), torch.get_rng_state()
    started = time.monotonic()
    found = probe(settings, 200.0)
    spent = time.monotonic() - started
    assert isinstance(found, Measured), found
    assert found.steps == 2
    table = Timetable.of(settings, found.steps)
    assert found.seconds.keys() == set().union(*table.contents())
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.start_seconds + 2 * sum(found.seconds.values()) < spent
    assert 150e6 < found.base_bytes <= found.peak_bytes < 4e9
    assert sorted(tmp_path.rglob("*")) == before
    assert torch.equal(torch.get_rng_state(), noise)


def test_it_ends_in_time(settings: SearchSettings) -> None:
    found = probe(settings, 0.2)
    assert found == Unmeasured("not measured within 0 s")
    assert probe(settings, 0.0) == Unmeasured("the time of the probe was over")


def test_the_steps_are_computed_by_the_kernels_that_are_asked_for(
    settings: SearchSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by so many threads, before anything is begun."""
    from nas.budget import rehearsal

    taken: list[object] = []
    monkeypatch.setattr(rehearsal, "set_threads", taken.append)
    monkeypatch.setattr(rehearsal, "take_kernels", taken.append)
    monkeypatch.setattr(rehearsal, "_begun", lambda request: pytest.fail(str(taken)))
    run = msgspec.structs.replace(settings.run, threads=3, kernels="torch")
    request = Request(
        msgspec.structs.replace(settings, run=run), 2, tmp_path / "run", time.time(), 9.0, 9.0
    )
    with pytest.raises(pytest.fail.Exception, match=r"\[3, 'torch'\]"):
        rehearsal.measure(request)


def rehearsed(
    settings: SearchSettings, lengths: list[float], place: Path, monkeypatch: pytest.MonkeyPatch
) -> Measured:
    """What is measured of steps of these lengths, and ends of no time."""
    from nas.budget import rehearsal

    folder = RunFolder(place / "run")
    folder.begin("search", settings)
    now, following = [100.0], iter(lengths)

    def step(epoch: int, step: int) -> None:
        now[0] += next(following)

    stage = SimpleNamespace(step=step, folder=folder)
    table = Timetable(epochs=1, phases=1, steps=1, warmup=0, diagnose_every=0)
    fakes = {
        "_begun": lambda request: (stage, table),
        "_end": lambda stage, epoch, tracker: None,
        "_end_run": lambda stage: None,
        "present_bytes": lambda device: 3e8,
        "peak_bytes": lambda device: 5e8,
        "take_kernels": lambda kernels: None,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(rehearsal, name, fake)
    monkeypatch.setattr(rehearsal.time, "time", lambda: now[0])
    return rehearsal.measure(Request(settings, 2, folder.path, 98.0, 900.0, 900.0))


def test_what_many_epochs_take_is_added_and_steps_are_medians(
    settings: SearchSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 9 s to warm up, then of 1, 3.5 and 2 s, which is enough."""
    found = rehearsed(settings, [9.0, 1.0, 3.5, 2.0], tmp_path, monkeypatch)
    assert (found.start_seconds, found.seconds["step"]) == (2.0 + (9.0 - 2.0), 2.0)
    assert found.seconds["end of the run"] == 0.0
    assert (found.base_bytes, found.peak_bytes) == (4e8, 6e8)


def test_of_captured_steps_replays_are_timed_and_the_first_ones_are_added(
    settings: SearchSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One as ever, of ten, one that is recorded and one that is checked; then replays."""
    run = msgspec.structs.replace(settings.run, capture=True, device="cpu")
    captured = msgspec.structs.replace(settings, run=run)
    found = rehearsed(captured, [4.0, 8.0, 5.0] + [0.5] * 15, tmp_path, monkeypatch)
    assert found.seconds["step"] == 0.5
    assert found.start_seconds == 2.0 + (10 * 4.0 + 8.0 + 5.0) - 12 * 0.5
    assert Recordings.patience == 10
    late = rehearsed(captured, [4.0, 895.0, 5.0, 0.5], tmp_path / "late", monkeypatch)
    assert late.seconds["step"] == 0.5


def test_damaged_data_is_refused_as_by_a_search(settings: SearchSettings) -> None:
    assert settings.data.data_root is not None
    for image in (settings.data.data_root / "images").iterdir():
        image.write_bytes(b"no image")
    with pytest.raises(DataError, match="damaged"):
        probe(settings, 200.0)


def ended(code: int, out: bytes = b"", err: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess([], code, out, err)


def test_a_process_that_the_system_ends_has_too_little_memory() -> None:
    assert probes._understood(ended(-9)) == Unmeasured("memory ran out")


def test_a_process_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(RunError, match="failed \\(ValueError: 7\\)"):
        probes._understood(ended(1, err=b"Traceback\nValueError: 7.\n"))


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(unmeasured=Unmeasured("memory ran out")), Unmeasured("memory ran out")),
        (
            Answer(measured=Measured(2, 1.0, {"step": 0.5}, 9.0, 3.0)),
            Measured(2, 1.0, {"step": 0.5}, 9.0, 3.0),
        ),
    ],
)
def test_answers_are_understood(answer: Answer, found: Any) -> None:
    assert probes._understood(ended(0, msgspec.msgpack.encode(answer))) == found
    refused = Answer(refusal=Refusal("DataError", "No image."))
    with pytest.raises(DataError, match=r"No image\."):
        probes._understood(ended(0, msgspec.msgpack.encode(refused)))


def test_a_request_keeps_every_setting(settings: SearchSettings) -> None:
    extreme = msgspec.structs.replace(
        settings, training=TrainingSettings(segmenter_lr=float("inf"))
    )
    request = Request(extreme, 2, Path("there"), 1.5, 3.0, 6.0)
    assert decoded(encoded(request)) == request
