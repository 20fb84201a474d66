"""What a run's folder says of its budget: what was tried, what was picked, and why.

budget.json    limits, what each candidate would take, what was picked, seconds by epoch
budget.md      the same as a table
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from nas.budget.limits import Unmeasured, epoch_seconds
from nas.budget.pick import Tried, as_options, gigabytes
from nas.errors import RunError
from nas.runs import RunFolder, atomic_write
from nas.tracking import Tracker, duration

LATE = 1.2
"""How many times the budget a run may be projected to take before it is told."""


class Row(Struct, frozen=True, omit_defaults=True):
    """A candidate, and what it would take.

    Attributes:
        settings: that differ from the user's, as options.
        losses: what the search loses by them.
        fits: whether it does.
        seconds_per_step: mean over the run.
        seconds: of the run, the probe included.
        peak_bytes: largest memory.
        unmeasured: why nothing is known of it.
    """

    settings: str
    losses: tuple[str, ...]
    fits: bool
    seconds_per_step: float | None = None
    seconds: float | None = None
    peak_bytes: float | None = None
    unmeasured: str | None = None


class PickRecord(Struct, frozen=True):
    """The content of budget.json.

    Attributes:
        budget: as the user gave it.
        seconds: the limit of the run's duration, None for none.
        bytes: that of its memory.
        probe_seconds: how long the probe took.
        picked: what was changed, as options; empty for nothing.
        fixed_seconds: what goes before the first step, the probe included.
        epoch_seconds: the projected duration of each epoch.
        tried: the candidates in order; the last was picked.
    """

    budget: tuple[str, ...]
    seconds: float | None
    bytes: float | None
    probe_seconds: float
    picked: str
    fixed_seconds: float
    epoch_seconds: tuple[float, ...]
    tried: tuple[Row, ...]

    def sentence(self) -> str:
        """What was picked, and why."""
        first, last = self.tried[0], self.tried[-1]
        assert last.seconds is not None and last.peak_bytes is not None
        takes = f"{duration(last.seconds)} and {gigabytes(last.peak_bytes)} are projected"
        words = f"--budget {' '.join(self.budget)}"
        if not self.picked:
            return f"{words}: your settings fit, and nothing is changed; {takes}."
        return (
            f"{words} has picked {self.picked}: {takes}, where your settings "
            f"{_would_take(first)}. What is lost: {'; '.join(last.losses)}."
        )

    def table(self) -> str:
        """The candidates as a table in Markdown."""
        head = "| settings | s/step | run | peak | |\n|---|---|---|---|---|\n"
        return head + "".join(f"| {' | '.join(_cells(row))} |\n" for row in self.tried)


def record_of(tried: Sequence[Tried], budget: tuple[str, ...]) -> PickRecord:
    """What is kept of candidates of which the last fits."""
    last = tried[-1]
    return PickRecord(
        budget=budget,
        seconds=last.limits.seconds,
        bytes=last.limits.bytes,
        probe_seconds=last.spent_seconds,
        picked=as_options(last.candidate.changes),
        fixed_seconds=last.fixed_seconds,
        epoch_seconds=tuple(epoch_seconds(last.measured, last.timetable.contents())),
        tried=tuple(map(_row, tried)),
    )


def _row(tried: Tried) -> Row:
    losses = tried.candidate.losses
    if isinstance(tried.found, Unmeasured):
        return Row(tried.options, losses, fits=False, unmeasured=tried.found.reason)
    return Row(
        tried.options,
        losses,
        tried.fits,
        tried.step_seconds,
        tried.seconds,
        tried.measured.peak_bytes,
    )


def _would_take(row: Row) -> str:
    if row.seconds is None or row.peak_bytes is None:
        return "could not be measured in time"
    return f"would take {duration(row.seconds)} and {gigabytes(row.peak_bytes)}"


def _cells(row: Row) -> tuple[str, ...]:
    if row.seconds is None or row.peak_bytes is None or row.seconds_per_step is None:
        return row.settings, "", "", "", row.unmeasured or ""
    return (
        row.settings,
        f"{row.seconds_per_step:.3g}",
        duration(row.seconds),
        gigabytes(row.peak_bytes),
        "fits, picked" if row.fits else "does not fit",
    )


def write_record(folder: RunFolder, record: PickRecord) -> None:
    """Write budget.json and budget.md into a run's folder, and a note.

    Raises:
        RunError: it cannot be written.
    """
    if not folder.is_written:
        return
    with atomic_write(_file(folder)) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(record), indent=2))
    with atomic_write(_file(folder).with_suffix(".md")) as stream:
        text = f"{record.sentence()}\n\n{record.table()}\nThe probe took "
        stream.write(f"{text}{duration(record.probe_seconds)}.\n".encode())
    folder.add_note(record.sentence())


def read_record(folder: RunFolder) -> PickRecord | None:
    """The budget of a run; None where it has none.

    Raises:
        RunError: budget.json is damaged.
    """
    path = _file(folder)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=PickRecord)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error


def tell_delay(folder: RunFolder, tracker: Tracker) -> None:
    """Note once that a run will end much later than its budget allows, by the epochs it has done.

    Raises:
        RunError: the folder cannot be read or written.
    """
    if not folder.is_written or folder.read_record().get("late"):
        return
    record = read_record(folder)
    if record is None or record.seconds is None:
        return
    done = [each["seconds"] for each in folder.read_metrics()]
    end = projected_end(record, done)
    if end is not None and end > LATE * record.seconds:
        folder.record(late=True)
        tracker.note(
            f"The run will take about {duration(end)}, the probe included, and --budget "
            f"{' '.join(record.budget)} was given: the steps take longer than when they were "
            "probed. The run goes on; what it has found is kept if you stop it."
        )


def projected_end(record: PickRecord, done: Sequence[float]) -> float | None:
    """Seconds that a run takes if it goes on as much slower, or faster, than was projected.

    Args:
        record: what was projected.
        done: seconds of training at the end of each epoch so far; without any the answer is None.
    """
    planned = sum(record.epoch_seconds[: len(done)])
    if not done or not planned:
        return None
    return record.fixed_seconds + sum(record.epoch_seconds) * done[-1] / planned


def _file(folder: RunFolder) -> Path:
    return folder.path / "budget.json"
