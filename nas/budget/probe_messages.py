"""What is said between a search that probes the machine and the process that measures for it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nas.budget.limits import Measured, Unmeasured
from nas.runs import decode_path
from nas.settings import SearchSettings


class Request(msgspec.Struct, frozen=True):
    """What is to be measured.

    Attributes:
        settings: of the search, with the device by its own name.
        part: images of a batch that this process sees.
        folder: where the search may write; it is empty.
        started: when the process was asked for, on the system's clock.
        seconds: time from then on after which nothing is measured more than once.
        most_seconds: time after which the process ends.
    """

    settings: SearchSettings
    part: int
    folder: Path
    started: float
    seconds: float
    most_seconds: float


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Something that the user can mend: the name of its error, and the sentence."""

    error: str
    sentence: str


class Answer(msgspec.Struct, frozen=True):
    """One of three: what was measured, why nothing was, or what the user has to mend."""

    measured: Measured | None = None
    unmeasured: Unmeasured | None = None
    refusal: Refusal | None = None


def encoded(request: Request) -> bytes:
    """A request as bytes."""
    return msgspec.msgpack.encode(request, enc_hook=str)


def decoded(content: bytes) -> Request:
    """The request that was encoded."""
    return msgspec.msgpack.decode(content, type=Request, dec_hook=decode_path)
