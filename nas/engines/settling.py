"""What becomes of a job of a cluster when it has ended: an outcome, or another try."""

from __future__ import annotations

import msgspec

from nas.engines import LOST, Job, Outcome
from nas.engines.local import out_of_memory
from nas.engines.schedule import Schedule, Ticket

STOPPED = (130, 143, -2, -15)
"""Exit codes of a process that somebody stopped; unasked by us, that is its node shutting down."""

GIVEN_UP = "It was lost {count} times with its node or worker; the last time: {told}."


def settled(schedule: Schedule[Job], ticket: Ticket[Job], found: Outcome | str) -> Outcome | None:
    """The outcome of a job; None where it is tried again.

    Args:
        schedule: told of it.
        ticket: of the job.
        found: how it ended, or in words, without a full stop, how it was lost.
    """
    told = _loss(found)
    if told is not None:
        if schedule.lost(ticket):
            return None
        return failed(ticket, LOST, GIVEN_UP.format(count=ticket.losses, told=told))
    assert isinstance(found, Outcome)
    if not out_of_memory(found):
        schedule.ended()
    elif schedule.ran_out_of_memory(ticket):
        return None
    return msgspec.structs.replace(found, job=ticket.work, retried=ticket.retried)


def _loss(found: Outcome | str) -> str | None:
    """How a job was lost; None where it was not."""
    if isinstance(found, str):
        return found
    if found.exit_code in (*STOPPED, LOST):
        return (found.reason or f"it left with exit code {found.exit_code}").rstrip(".")
    return None


def failed(ticket: Ticket[Job], code: int, told: str) -> Outcome:
    """The outcome of a job of which no process has told one."""
    return Outcome(
        job=ticket.work,
        exit_code=code,
        reason=told,
        seconds=0.0,
        peak_memory=None,
        retried=ticket.retried,
    )
