"""What a run keeps of its budget, and when it says that it will be late."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from nas.budget.ladder import Candidate
from nas.budget.limits import Limits, Measured, Unmeasured
from nas.budget.pick import Tried
from nas.budget.pick_record import (
    PickRecord,
    projected_end,
    read_record,
    record_of,
    tell_delay,
    write_record,
)
from nas.errors import RunError
from nas.runs import RunFolder, WatchedFolder
from nas.settings import ArchitectureSettings, SearchSettings, TrainingSettings
from nas.tracking import Tracker

LIMITS = Limits(seconds=600.0)
WORDS = ("10min",)


def candidate(losses: tuple[str, ...] = (), **changes: str) -> Candidate:
    settings = SearchSettings(
        training=TrainingSettings(epochs=4),
        architecture=ArchitectureSettings(diagnose_every=0, warmup_epochs=1),
    )
    return Candidate(settings, changes, losses)


def measured(step: float) -> Measured:
    """Epochs of 10 steps: the first of half the price, and an end of 1 s."""
    return Measured(
        10,
        5.0,
        {
            "step": step,
            "step of the warm-up": step / 2,
            "end of an epoch with pictures": 1.0,
            "end of the run": 0.0,
        },
        1.5e9,
        0.5e9,
    )


def tried() -> list[Tried]:
    """Yours, which are too slow, something unmeasured, and first order, in 9 + 5 + 5 + 4 * 1 s."""
    return [
        Tried(candidate(), measured(100.0), 3.0, LIMITS),
        Tried(candidate(("a",), product_for="discriminator"), Unmeasured("gone"), 6.0, LIMITS),
        Tried(candidate(("a", "b"), order="first"), measured(2.0), 9.0, LIMITS),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.begin("search", SearchSettings())
    return made


def test_a_record_says_what_was_projected(folder: RunFolder) -> None:
    record = record_of(tried(), WORDS)
    assert record.picked == "--order first"
    assert record.probe_seconds == 9 and record.fixed_seconds == 14
    assert record.epoch_seconds == (11.0, 21.0, 21.0, 21.0)
    assert [row.fits for row in record.tried] == [False, False, True]
    last = record.tried[-1]
    assert (last.seconds, last.seconds_per_step, last.peak_bytes) == (88.0, 1.75, 1.5e9)
    write_record(folder, record)
    assert read_record(folder) == record
    lines = (folder.path / "budget.md").read_text().splitlines()
    assert lines[0] == record.sentence() == (folder.path / "notes.txt").read_text().strip()
    assert record.sentence() == (
        "--budget 10min has picked --order first: 1 min 28 s and 1.50 GB are projected, where your "
        "settings would take 58 min 32 s and 1.50 GB. What is lost: a; b."
    )
    assert lines[4:7] == [
        "| your settings | 87.5 | 58 min 32 s | 1.50 GB | does not fit |",
        "| --product-for discriminator |  |  |  | gone |",
        "| --order first | 1.75 | 1 min 28 s | 1.50 GB | fits, picked |",
    ]
    assert lines[-1] == "The probe took 9 s."


def test_nothing_picked_is_told_so() -> None:
    ample = dataclasses.replace(tried()[0], limits=Limits(seconds=1e6))
    assert record_of([ample], ("300h",)).sentence() == (
        "--budget 300h: your settings fit, and nothing is changed; 58 min 32 s and 1.50 GB are "
        "projected."
    )


def test_a_damaged_record_is_told(folder: RunFolder) -> None:
    (folder.path / "budget.json").write_text("{}")
    with pytest.raises(RunError, match=r"budget\.json cannot be read"):
        read_record(folder)


def test_another_process_writes_nothing(tmp_path: Path) -> None:
    write_record(WatchedFolder(tmp_path / "run"), record_of(tried(), WORDS))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("done", "end"),
    [
        ([], None),
        ([11.0], 88.0),  # as projected
        ([22.0], 14 + 2 * 74),  # twice as slow in the warm-up, which is cheap
        ([22.0, 32.0], 88.0),  # caught up
        ([11.0, 32.0, 53.0, 74.0], 88.0),
    ],
)
def test_the_end_is_projected_by_how_much_slower_the_run_was(
    done: list[float], end: float | None
) -> None:
    assert projected_end(record_of(tried(), WORDS), done) == end


@pytest.mark.parametrize(
    ("budget", "seconds", "late"),
    [(88.0, [11.0], False), (88.0, [13.0], False), (88.0, [14.3], True), (None, [900.0], False)],
)
def test_a_run_that_will_be_late_by_a_fifth_says_so_once(
    folder: RunFolder, budget: float | None, seconds: list[float], late: bool
) -> None:
    record = record_of(tried(), WORDS)
    write_record(folder, msgspec.structs.replace(record, seconds=budget))
    said: list[str] = []
    with Tracker(folder, say=said.append) as tracker:
        tell_delay(folder, tracker)
        for number, each in enumerate(seconds, start=1):
            folder.append_metrics({"epoch": number, "seconds": each})
        tell_delay(folder, tracker)
        folder.append_metrics({"epoch": 2, "seconds": 9000.0})
        tell_delay(folder, tracker)
        tell_delay(folder, tracker)
    assert len(said) == (0 if budget is None else 1)
    if late:
        assert said[0].startswith("The run will take about 1 min 50 s, the probe included")


def test_a_run_without_a_budget_says_nothing(folder: RunFolder) -> None:
    folder.append_metrics({"epoch": 1, "seconds": 1e9})
    with Tracker(folder, say=pytest.fail) as tracker:
        tell_delay(folder, tracker)
    assert isinstance(record_of(tried(), WORDS), PickRecord)
