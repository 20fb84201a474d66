"""What an engine of several machines does on the machine where a job runs."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from nas.engines import LOST, Job, Outcome
from nas.engines.local import PATIENCE_SECONDS, POLL_SECONDS, Running

STOP_FILE = ".stop"
"""A job whose folder has this file is asked to save and leave."""
LOCK_FILE = ".engine"
"""Held by a job's process and whoever started it, for as long as one of them is there."""

STILL_THERE = (
    "A process that was started before still works in {folder}: wait for it, or stop it, and run "
    "the cell again."
)


@dataclass
class Worker:
    """Runs one job, and can be asked from another thread to stop it.

    Attributes:
        threads: of the process.
        patience: seconds that a process which was asked to stop, or one of before that has not
            left the folder yet, is waited for.
        poll: seconds between two looks.
    """

    threads: int = 1
    patience: float = PATIENCE_SECONDS
    poll: float = POLL_SECONDS
    _stopping: threading.Event = field(default_factory=threading.Event)
    _running: Running | None = None

    def stop(self) -> None:
        """Ask the job to save and leave."""
        self._stopping.set()

    def run(self, job: Job) -> Outcome:
        """Run a job in its folder, which is on this machine or shared with others."""
        job.folder.mkdir(parents=True, exist_ok=True)
        with held(job.folder, self.patience, self.poll) as lock:
            if lock is None:
                told = STILL_THERE.format(folder=job.folder)
                return _without_process(job, LOST, told)
            if self._asked(job):
                return _without_process(job, -signal.SIGTERM, "It was stopped before it began.")
            self._running = Running.start(job, self.threads, None, False, (lock,))
            return self._watch(self._running)

    def _watch(self, running: Running) -> Outcome:
        while running.process.poll() is None:
            running.look()
            if self._asked(running.job):
                self.end()
            time.sleep(self.poll)
        return running.outcome()

    def end(self) -> None:
        """Ask the process to save and leave, wait, and kill it if it does not."""
        if self._running is None:
            return
        self._running.signal(signal.SIGTERM)
        try:
            self._running.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self._running.signal(signal.SIGKILL)
            self._running.process.wait()

    def _asked(self, job: Job) -> bool:
        return self._stopping.is_set() or (job.folder / STOP_FILE).exists()


def _without_process(job: Job, code: int, told: str) -> Outcome:
    return Outcome(
        job=job, exit_code=code, reason=told, seconds=0.0, peak_memory=None, retried=False
    )


@contextmanager
def held(folder: Path, patience: float, poll: float) -> Iterator[int | None]:
    """Hold a folder: the descriptor of its lock, to be inherited; None where others keep it.

    A process whose node was thought lost may still be saving; it is waited for.
    """
    until = time.monotonic() + patience
    with (folder / LOCK_FILE).open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    yield None
                    return
                time.sleep(poll)
        yield stream.fileno()


def placed(job: Job, folder: Path, python: str, here: str) -> Job:
    """A job of another machine as it runs here, in a folder of this machine.

    Args:
        job: as it was given to the engine.
        folder: that it works in.
        python: the interpreter of the machine that gave it.
        here: the interpreter of this one.
    """
    command = tuple(here if part == python else part for part in job.command)
    return msgspec.structs.replace(job, command=command, folder=folder)


def enter(folder: str) -> None:
    """Work in the folder from which jobs were given, where this machine has it."""
    if os.path.isdir(folder):
        os.chdir(folder)
