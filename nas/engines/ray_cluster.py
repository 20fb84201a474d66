"""The engine of a Ray cluster, or of a laptop's own Ray.

Each job has an actor of its own, placed by Ray where its cores and part of a GPU are free. Where a
node sees the job's folder it works in it; where not, folder and inputs travel there and the folder
comes back, also of a job that failed or was stopped. A job whose node was lost is started again
before any other: from its last checkpoint in a shared folder, else from the folder as it was sent.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.engines import Job, Outcome
from nas.engines.local import PATIENCE_SECONDS
from nas.engines.parcels import bring_home, finish, pack
from nas.engines.ray_worker import ORIGIN_FILE, Done, Order, RayWorker
from nas.engines.schedule import LOSSES, Schedule, Ticket
from nas.engines.settling import failed, settled
from nas.errors import UsageError
from nas.runs import atomic_write
from nas.version import __version__

POLL_SECONDS = 1.0
REACH_SECONDS = 10.0
"""How long the head of a cluster may take to answer at all."""

NOTICE_SECONDS = 5.0
"""How long it may take to hear that a job has begun; only one without a place takes so long."""

PACKING_SECONDS = 60.0
"""How long a stopped job's folder may take to come home, after the process has left."""

USAGE_VARIABLE = "RAY_USAGE_STATS_ENABLED"
"""Without it a Ray that this process starts would report how it is used to its makers."""

MISSING = (
    "--engine ray needs the library ray: pip install 'discriminator-nas[cluster]', here and on "
    "every node."
)


def connect(address: str | None) -> None:
    """Join a cluster, or start this machine's own Ray; nothing where that is done already.

    Args:
        address: of the cluster, HOST:PORT, ray://HOST:PORT, or auto; None for this machine's own.

    Raises:
        UsageError: ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError(MISSING) from error
    if ray.is_initialized():
        return
    os.environ.setdefault(USAGE_VARIABLE, "0")
    try:
        _reach(address)
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if address is None else None,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"There is no Ray cluster at {address}: {_line(error)}. Start its first node by ray "
            "start --head, and give --address HOST:PORT as that prints it."
        ) from error


def _reach(address: str | None) -> None:
    """Knock at HOST:PORT, for which Ray itself waits for minutes.

    Raises:
        OSError: nobody answers.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()


def has_devices() -> bool:
    """Whether a node of the cluster has a GPU."""
    import ray

    return any(node["Alive"] and node["Resources"].get("GPU", 0) >= 1 for node in ray.nodes())


def room(nodes: Iterable[Mapping[str, Any]], cpus: float, gpus: float) -> int:
    """How many jobs fit on the nodes of a cluster at a time.

    Args:
        nodes: as ray.nodes() tells of them.
        cpus: of each job.
        gpus: of each job; parts of one that would not fit side by side on it are not added up.
    """
    fitting = 0
    for node in nodes:
        if node["Alive"]:
            has = node["Resources"]
            fits = math.floor(has.get("CPU", 0) / cpus)
            fitting += min(fits, _on_devices(int(has.get("GPU", 0)), gpus)) if gpus else fits
    return fitting


def _on_devices(devices: int, gpus: float) -> int:
    """Jobs with so many GPUs each, or that part of one, on the devices of a node."""
    if gpus < 1:
        return devices * math.floor(1 / gpus + 1e-9)
    return math.floor(devices / gpus)


@contextmanager
def handlers_heard() -> Iterator[None]:
    """Raise what a signal's handler raises during a call of Ray, which wraps it in SystemError."""
    try:
        yield
    except SystemError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


@dataclass
class _Remote:
    """A job on its way or running."""

    ticket: Ticket[Job]
    actor: Any
    ready: Any
    done: Any


@dataclass
class RayEngine:
    """Runs jobs on the Ray cluster that this process has joined (`connect`).

    Attributes:
        at_once: jobs that are started at the same time, at most; 0 for as many as fit on the nodes
            that are there, which is looked up again and again. More than fit wait in Ray, so that
            a cluster that grows by itself does.
        threads: cores of each job, and the threads of its process.
        gpus: of each job; a part of one is shared.
        send_data: whether data travels with jobs to nodes that do not see their folder.
        shared: whether nodes see jobs' folders; None has each node look.
        losses: how often a job may be lost with its node before it has failed.
        patience: seconds that a job which was asked to stop is waited for.
        poll: seconds between two looks.
    """

    at_once: int = 0
    threads: int = 1
    gpus: float = 0.0
    send_data: bool = False
    shared: bool | None = None
    losses: int = LOSSES
    patience: float = PATIENCE_SECONDS
    poll: float = POLL_SECONDS
    _running: list[_Remote] = field(default_factory=list)
    _sent: dict[Path, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See that jobs fit somewhere.

        Raises:
            UsageError: no node is large enough for one.
        """
        import ray

        if not self.at_once and not room(ray.nodes(), self.threads, self.gpus):
            raise UsageError(
                f"No node of the Ray cluster has the {self.threads} cores and {self.gpus:g} GPUs "
                "of a job: lower run.threads in the recipe or --gpus-per-job, add a node, or give "
                "--jobs to wait for one."
            )

    @property
    def slots(self) -> int:
        """See `nas.engines.Engine`; of the nodes that are there now."""
        import ray

        return self.at_once or max(1, room(ray.nodes(), self.threads, self.gpus))

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome]:
        """See `nas.engines.Engine.run`."""
        schedule = Schedule(jobs, self.losses)
        with handlers_heard():
            try:
                while True:
                    while (ticket := schedule.start(self.slots)) is not None:
                        self._start(ticket)
                    if not self._running:
                        return
                    yield from self._ended(schedule)
            finally:
                self._stop()

    def _start(self, ticket: Ticket[Job]) -> None:
        import ray

        job = ticket.work
        job.folder.mkdir(parents=True, exist_ok=True)
        finish(job.folder)
        word = uuid.uuid4().hex
        with atomic_write(job.folder / ORIGIN_FILE) as stream:
            stream.write(word.encode())
        inputs = (*job.inputs, *(job.data if self.send_data else ()))
        actor: Any = (
            ray.remote(RayWorker)
            .options(num_cpus=self.threads, num_gpus=self.gpus, max_concurrency=2, max_restarts=0)
            .remote(self.threads, self.patience)
        )
        order = Order(job, word, self.shared, inputs, sys.executable, os.getcwd(), __version__)
        folder = [ray.put(pack(job.folder))]
        done = actor.run.remote(order, folder, [self._send(path) for path in inputs])
        self._running.append(_Remote(ticket, actor, actor.ready.remote(), done))

    def _send(self, path: Path) -> Any:
        """A reference to the archive of an input; each is packed once."""
        import ray

        if path not in self._sent:
            self._sent[path] = ray.put(pack(path))
        return self._sent[path]

    def _ended(self, schedule: Schedule[Job]) -> Iterator[Outcome]:
        """Outcomes of what has ended; what was lost, or memory ran out for, goes back."""
        import ray

        references = [each.done for each in self._running]
        ended, _ = ray.wait(references, timeout=self.poll, fetch_local=False)
        for each in [each for each in self._running if each.done in ended]:
            outcome = settled(schedule, each.ticket, self._take(each))
            if outcome is not None:
                yield outcome

    def _take(self, each: _Remote) -> Outcome | str:
        """How a job ended, its folder brought home; a sentence where it was lost."""
        import ray

        self._running.remove(each)
        try:
            done: Done = ray.get(each.done)
        except ray.exceptions.RayTaskError as error:
            return failed(each.ticket, 1, f"Its node could not run it: {_line(error.cause)}.")
        except ray.exceptions.RayError as error:
            return _line(error)
        finally:
            ray.kill(each.actor)
            (each.ticket.work.folder / ORIGIN_FILE).unlink(missing_ok=True)
        if done.archive is not None:
            bring_home(done.archive, each.ticket.work.folder)
        return done.outcome

    def _stop(self) -> None:
        """Ask all that have begun to save and leave, wait for their folders; drop the others."""
        import ray

        try:
            ready = [each.ready for each in self._running]
            begun = _finished(self._running, ready, NOTICE_SECONDS)
            for each in begun:
                each.actor.stop.remote()
            patience = self.patience + PACKING_SECONDS
            for each in _finished(begun, [each.done for each in begun], patience):
                self._take(each)
        finally:
            for each in self._running:
                ray.kill(each.actor)
                (each.ticket.work.folder / ORIGIN_FILE).unlink(missing_ok=True)
            self._running.clear()
            self._sent.clear()


def _finished(
    remotes: Sequence[_Remote], references: Sequence[Any], timeout: float
) -> list[_Remote]:
    """Those whose reference is there in time."""
    import ray

    if not remotes:
        return []
    found, _ = ray.wait(
        list(references), num_returns=len(remotes), timeout=timeout, fetch_local=False
    )
    pairs = zip(remotes, references, strict=True)
    return [each for each, reference in pairs if reference in found]


def _line(error: BaseException) -> str:
    """The first line of what an error says, without a full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
