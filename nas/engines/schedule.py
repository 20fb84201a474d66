"""Which job starts next, where jobs can be lost with the machine that they run on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Work = TypeVar("Work")

LOSSES = 5
"""How often a job may be lost before it is given up."""


@dataclass
class Ticket(Generic[Work]):
    """A job and what it has been through.

    Attributes:
        work: the job.
        losses: how often it was lost with its node.
        starved: whether memory ran out for it.
    """

    work: Work
    losses: int = 0
    starved: bool = False

    @property
    def retried(self) -> bool:
        """Whether it was started before."""
        return self.starved or self.losses > 0


@dataclass
class Schedule(Generic[Work]):
    """The order of jobs: lost ones first, then those not yet started, each when there is room.

    Those that memory ran out for come when all others have ended, one after the other, alone.

    Attributes:
        jobs: taken one by one, when there is room to start them.
        losses: how often a job may be lost before it is given up.
    """

    jobs: Iterable[Work]
    losses: int = LOSSES
    _lost: deque[Ticket[Work]] = field(default_factory=deque)
    _starved: deque[Ticket[Work]] = field(default_factory=deque)
    _running: int = 0

    def __post_init__(self) -> None:
        self._waiting = iter(self.jobs)

    def start(self, room: int) -> Ticket[Work] | None:
        """The job to start now; None where nothing may start.

        Args:
            room: how many may run at the same time.
        """
        if self._running and self._running >= room:
            return None
        ticket = self._lost.popleft() if self._lost else self._fresh()
        if ticket is None and self._starved and not self._running:
            ticket = self._starved.popleft()
        if ticket is not None:
            self._running += 1
        return ticket

    def _fresh(self) -> Ticket[Work] | None:
        for work in self._waiting:
            return Ticket(work)
        return None

    def ended(self) -> None:
        """A job has ended."""
        self._running -= 1

    def lost(self, ticket: Ticket[Work]) -> bool:
        """A job was lost; whether it is tried again."""
        self.ended()
        ticket.losses += 1
        if ticket.losses > self.losses:
            return False
        self._lost.append(ticket)
        return True

    def ran_out_of_memory(self, ticket: Ticket[Work]) -> bool:
        """Memory ran out for a job; whether it is tried again."""
        self.ended()
        if ticket.starved:
            return False
        ticket.starved = True
        self._starved.append(ticket)
        return True
