"""The engine of a cluster with SLURM, through submitit.

Jobs work in their folders, which all nodes see. A job that its time limit or a more important job
ends saves, and is queued again; one whose node was lost is submitted again before any other.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.engines import Job, Outcome
from nas.engines.local import PATIENCE_SECONDS
from nas.engines.schedule import LOSSES, Schedule, Ticket
from nas.engines.settling import failed, settled
from nas.engines.worker import STOP_FILE, Worker, placed
from nas.errors import UsageError
from nas.runs import atomic_write

POLL_SECONDS = 1.0
AT_ONCE = 100
"""Jobs in the queue at the same time, by default; many sites allow few thousand."""
GRACE_SECONDS = 15.0
"""How long the result of a job that has ended may take to be seen here, by default."""
SIGNAL_SECONDS = int(PATIENCE_SECONDS) + 30
"""How long before its time limit SLURM tells a job."""

MISSING = "--engine slurm needs the library submitit: pip install 'discriminator-nas[cluster]'."
OWNED = {
    "cpus_per_task": "run.threads of the recipe",
    "gpus_per_node": "--gpus-per-job",
    "ntasks_per_node": "the engine",
    "nodes": "the engine",
    "array_parallelism": "--jobs",
}
"""Parameters of submitit that are set elsewhere, and by what."""


class Task:
    """What submitit runs on a node: a job, and how it goes on when it has to make room."""

    def __init__(self, job: Job, threads: int, patience: float, python: str) -> None:
        self.job = job
        self.threads = threads
        self.patience = patience
        self.python = python

    def __call__(self) -> Outcome:
        """Run the job."""
        self.worker = Worker(self.threads, self.patience)
        return self.worker.run(placed(self.job, self.job.folder, self.python, sys.executable))

    def checkpoint(self) -> Any:
        """Have the job save and leave; what to queue in its place."""
        from submitit.helpers import DelayedSubmission

        self.worker.end()
        return DelayedSubmission(Task(self.job, self.threads, self.patience, self.python))


def slurm_executor(folder: Path, parameters: Mapping[str, str], threads: int, gpus: int) -> Any:
    """What submits jobs to SLURM.

    Args:
        folder: of submitit's own files.
        parameters: of submitit's SlurmExecutor; ``time`` in minutes is needed.
        threads: cores of each job.
        gpus: of each job.

    Raises:
        UsageError: submitit or sbatch is missing, or a parameter is unknown, set elsewhere or
            missing.
    """
    try:
        import submitit
    except ImportError as error:
        raise UsageError(MISSING) from error
    if shutil.which("sbatch") is None:
        raise UsageError(
            "--engine slurm needs sbatch, which is not on this machine: log in to a node from "
            "which jobs are submitted."
        )
    check_parameters(parameters, submitit.SlurmExecutor._valid_parameters())
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=LOSSES)
    values: dict[str, Any] = {name: _number(text) for name, text in parameters.items()}
    if gpus:
        values["gpus_per_node"] = gpus
    executor.update_parameters(
        **{"signal_delay_s": SIGNAL_SECONDS, "job_name": "nas-cell", **values},
        cpus_per_task=threads,
        ntasks_per_node=1,
        nodes=1,
    )
    return executor


def check_parameters(parameters: Mapping[str, str], known: Iterable[str]) -> None:
    """Refuse names that submitit does not have, or that are set elsewhere.

    Raises:
        UsageError: which, and what was expected.
    """
    from nas.specifications import did_you_mean

    allowed = sorted(set(known) - set(OWNED))
    for name in parameters:
        if name in OWNED:
            raise UsageError(f"--slurm {name} is set by {OWNED[name]}: leave it out.")
        if name not in allowed:
            raise UsageError(
                f"--slurm {name} is no parameter of submitit{did_you_mean(name, allowed)}; it has "
                f"{', '.join(allowed)}."
            )
    if "time" not in parameters:
        raise UsageError(
            "--slurm needs time=MINUTES, how long a job may run before it saves and queues again, "
            "such as --slurm time=240 partition=gpu."
        )


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


@dataclass
class _Submitted:
    """A job in SLURM's hands.

    Attributes:
        ticket, handle: ours, and submitit's.
        over_since: when it was first seen to have ended.
    """

    ticket: Ticket[Job]
    handle: Any
    over_since: float | None = None

    def has_ended(self, grace: float) -> bool:
        """Whether it has, and has left a result or so much time."""
        if not self.handle.done():
            return False
        self.over_since = self.over_since or time.monotonic()
        return self.has_result() or time.monotonic() - self.over_since >= grace

    def has_result(self) -> bool:
        """Whether it has told how it ended."""
        return bool(self.handle.paths.result_pickle.exists())

    def outcome(self) -> Outcome | str:
        """How it ended; a sentence where it was lost."""
        from submitit.core.utils import FailedJobError

        if not self.has_result():
            return f"see {self.handle.paths.stderr}"
        try:
            found: Outcome = self.handle.result()
        except FailedJobError as error:
            last = str(error).strip().splitlines()[-1].rstrip(".")
            return failed(self.ticket, 1, f"SLURM could not run it to its end: {last}.")
        return found


@dataclass
class SlurmEngine:
    """Runs jobs through an executor of submitit.

    Attributes:
        executor: `slurm_executor`, or submitit's LocalExecutor.
        slots: jobs in the queue at the same time, at most.
        threads: of each process.
        losses: how often a job may be lost with its node before it has failed.
        patience: seconds that a job which was asked to stop is waited for.
        poll: seconds between two looks.
        grace: seconds that the result of a job which has ended is waited for; then it is lost.
    """

    executor: Any
    slots: int = AT_ONCE
    threads: int = 1
    losses: int = LOSSES
    patience: float = PATIENCE_SECONDS
    poll: float = POLL_SECONDS
    grace: float = GRACE_SECONDS
    _running: list[_Submitted] = field(default_factory=list)

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome]:
        """See `nas.engines.Engine.run`."""
        schedule = Schedule(jobs, self.losses)
        try:
            while True:
                while (ticket := schedule.start(self.slots)) is not None:
                    self._start(ticket)
                if not self._running:
                    return
                yield from self._ended(schedule)
                if self._running:
                    time.sleep(self.poll)
        finally:
            self._stop()

    def _start(self, ticket: Ticket[Job]) -> None:
        job = ticket.work
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / STOP_FILE).unlink(missing_ok=True)
        task = Task(job, self.threads, self.patience, sys.executable)
        self._running.append(_Submitted(ticket, self.executor.submit(task)))

    def _ended(self, schedule: Schedule[Job]) -> Iterator[Outcome]:
        """Outcomes of what has ended; what was lost, or memory ran out for, goes back."""
        for each in [each for each in self._running if each.has_ended(self.grace)]:
            self._running.remove(each)
            outcome = settled(schedule, each.ticket, each.outcome())
            if outcome is not None:
                yield outcome

    def _stop(self) -> None:
        """Take back what waits; ask the others to save and leave, wait, cancel what does not."""
        try:
            for each in self._running:
                if each.handle.state == "PENDING":
                    each.handle.cancel()
                else:
                    with atomic_write(each.ticket.work.folder / STOP_FILE):
                        pass
            until = time.monotonic() + self.patience
            handles = [each.handle for each in self._running]
            while time.monotonic() < until and not all(each.done() for each in handles):
                time.sleep(self.poll)
        finally:
            for each in self._running:
                if not each.handle.done():
                    each.handle.cancel()
                (each.ticket.work.folder / STOP_FILE).unlink(missing_ok=True)
            self._running.clear()
