"""The engine of one machine: as many processes as fit on its cores or GPUs, memory watched."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from nas.engines import FOLDER, LOG, Job, Outcome
from nas.memory import free_memory, peak, resident

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 120.0
"""How long a process that was asked to stop may take to save."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
DEVICE_VARIABLE = "CUDA_VISIBLE_DEVICES"
OUT_OF_MEMORY = "Out of memory"
"""How the sentence of a process begins that noticed by itself."""

KILLED = (
    "It was killed by signal {number}, most likely because memory ran out: lower the batch size, "
    "the image size or the width of the networks, or run fewer at a time."
)


@dataclass
class Running:
    """A job in its process on this machine."""

    job: Job
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    log_start: int
    started: float
    device: str | None
    is_retry: bool
    peak: int = 0

    @classmethod
    def start(
        cls, job: Job, threads: int, device: str | None, is_retry: bool, keep: Sequence[int] = ()
    ) -> Running:
        """Start it; file descriptors in ``keep`` stay open in it."""
        job.folder.mkdir(parents=True, exist_ok=True)
        log = (job.folder / LOG).open("ab")
        log_start = log.tell()
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
        if device is not None:
            environment[DEVICE_VARIABLE] = device
        process = subprocess.Popen(
            [part.replace(FOLDER, str(job.folder)) for part in job.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=keep,
        )
        return cls(job, process, log, log_start, time.monotonic(), device, is_retry)

    def look(self) -> None:
        """See how much memory it takes."""
        self.peak = max(self.peak, peak(self.process.pid) or 0)

    def signal(self, number: int) -> None:
        """Send a signal to the process and those that it has started."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def outcome(self) -> Outcome:
        """How it ended, which it has."""
        code = self.process.wait()
        self.log.close()
        return Outcome(
            job=self.job,
            exit_code=code,
            reason=reason(code, self.job.folder / LOG, self.log_start) if code else None,
            seconds=time.monotonic() - self.started,
            peak_memory=self.peak or None,
            retried=self.is_retry,
        )


@dataclass
class LocalEngine:
    """Runs jobs as processes of this machine.

    A job is not started while less memory is free than the largest job so far has taken, counting
    what those that run may still grow by, unless nothing else runs. A job that memory ran out for
    is tried once more when all others have ended, alone.

    Attributes:
        slots: how many run at the same time, at most; with devices, no more than there are.
        threads: of each process.
        devices: CUDA devices, one for each process; empty where none are used.
        free: how much memory is free, in bytes; None where that is not known.
        poll: seconds between two looks at the processes.
        patience: seconds that a process which was asked to stop is waited for.
    """

    slots: int
    threads: int = 1
    devices: Sequence[str] = ()
    free: Callable[[], int | None] = free_memory
    poll: float = POLL_SECONDS
    patience: float = PATIENCE_SECONDS
    largest: int = 0
    _running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.slots < 1 or self.threads < 1:
            raise ValueError(f"{self.slots} slots of {self.threads} threads run nothing")
        if self.devices:
            self.slots = min(self.slots, len(self.devices))

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome]:
        """See `nas.engines.Engine.run`."""
        waiting, again = iter(jobs), deque[Job]()
        held: Job | None = None
        try:
            while True:
                held = self._fill(waiting, held)
                if not self._running and held is None:
                    if not again:
                        return
                    self._start(again.popleft(), is_retry=True)
                for ended in self._ended():
                    if not ended.retried and out_of_memory(ended):
                        again.append(ended.job)
                    else:
                        yield ended
                if self._running:
                    time.sleep(self.poll)
        finally:
            self._stop()

    def _fill(self, waiting: Iterator[Job], held: Job | None) -> Job | None:
        """Start jobs while there is room; the job for which there was none."""
        while len(self._running) < self.slots:
            held = held or next(waiting, None)
            if held is None or not self._fits():
                return held
            self._start(held)
            held = None
        return held

    def _fits(self) -> bool:
        """Whether memory allows one more process as large as the largest so far."""
        free = self.free()
        if not self._running or free is None:
            return True
        sizes = (resident(each.process.pid) or 0 for each in self._running)
        growth = sum(max(0, self.largest - size) for size in sizes)
        return free - growth >= self.largest

    def _start(self, job: Job, is_retry: bool = False) -> None:
        taken = {each.device for each in self._running}
        device = next((each for each in self.devices if each not in taken), None)
        self._running.append(Running.start(job, self.threads, device, is_retry))

    def _ended(self) -> Iterator[Outcome]:
        for each in list(self._running):
            each.look()
            if each.process.poll() is not None:
                self._running.remove(each)
                self.largest = max(self.largest, each.peak)
                yield each.outcome()

    def _stop(self) -> None:
        """Ask all to save and leave, wait, kill those that do not; interrupted, kill at once."""
        try:
            for each in self._running:
                each.signal(signal.SIGTERM)
            until = time.monotonic() + self.patience
            for each in self._running:
                each.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            for each in self._running:
                each.signal(signal.SIGKILL)
                each.process.wait()
                each.log.close()
            self._running.clear()


def out_of_memory(outcome: Outcome) -> bool:
    """Whether a job failed for want of memory: killed by the system, or by its own words."""
    told = outcome.reason is not None and outcome.reason.startswith(OUT_OF_MEMORY)
    return outcome.exit_code == -signal.SIGKILL or (outcome.exit_code > 0 and told)


def reason(exit_code: int, log: Path, start: int) -> str:
    """Why a process failed, in a sentence: the last one that it printed.

    Args:
        exit_code: of the process, not 0.
        log: the file of what it printed.
        start: where in the file that begins.
    """
    if exit_code == -signal.SIGKILL:
        return KILLED.format(number=-exit_code)
    if exit_code < 0:
        return f"It was killed by signal {-exit_code} ({signal.Signals(-exit_code).name})."
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    command, colon, sentence = last.partition(": ")
    if colon and command.startswith("nas-") and " " not in command:
        return sentence
    return last or f"It left with exit code {exit_code} and printed nothing; see {log}."


def share(
    jobs: int, at_once: int, threads: int, cores: int, devices: Sequence[str]
) -> tuple[int, int]:
    """How many processes run at a time, and the threads of each.

    Args:
        jobs: in all.
        at_once: processes at a time, at most; 0 for as many as fit.
        threads: of each process; 0 divides the cores between the processes.
        cores: of the machine.
        devices: CUDA devices; where there are any, each process has one.
    """
    room = len(devices) or max(1, cores // max(1, threads))
    slots = max(1, min(jobs, at_once or room, len(devices) or jobs))
    return slots, threads or max(1, cores // slots)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
