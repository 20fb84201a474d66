"""Engines: where jobs run, and how many at a time.

A job is a command and the folder that it works in; what it leaves in the folder is its result. An
engine takes jobs and yields their outcomes as they end. Whoever gives it jobs does not know which
engine it is, and an engine does not know what a job computes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

FOLDER = "{folder}"
"""Stands in a job's command for its folder, wherever the engine has it."""

LOG = "log.txt"
"""What a job prints is appended to this file in its folder."""

LOST = 75
"""Exit code of a job that was given up because nodes were lost again and again (EX_TEMPFAIL)."""


class Job(Struct, frozen=True, kw_only=True):
    """Something to run in a process of its own.

    Attributes:
        name: for people.
        command: the program and its arguments; `FOLDER` in them becomes the job's folder.
        folder: everything that it reads and writes, besides what its arguments name.
        inputs: files elsewhere that it reads; files in its folder may name them by these paths.
        data: files and folders of data that it reads, as ``inputs`` but large.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    inputs: tuple[Path, ...] = ()
    data: tuple[Path, ...] = ()


class Outcome(Struct, frozen=True, kw_only=True):
    """How a job ended.

    Attributes:
        job: which.
        exit_code: of its process; minus the number of the signal that killed it.
        reason: the sentence with which it failed; None where it did not.
        seconds: that the process ran, by the clock.
        peak_memory: largest resident memory seen of the process, bytes; None where not known.
        retried: whether an earlier try had ended because memory ran out or a node was lost.
    """

    job: Job
    exit_code: int
    reason: str | None
    seconds: float
    peak_memory: int | None
    retried: bool

    @property
    def succeeded(self) -> bool:
        """Whether the process ended by itself and without an error."""
        return self.exit_code == 0


class Engine(Protocol):
    """Runs jobs."""

    @property
    def slots(self) -> int:
        """How many run at the same time, at most."""

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome]:
        """Run all jobs; their outcomes as they end, in no particular order.

        A job is taken from ``jobs`` when there is room to start it, so an iterator may decide late
        what comes next. Closing the generator stops what runs: every process is asked to save and
        leave, and is waited for. Jobs that were stopped have no outcome.
        """
