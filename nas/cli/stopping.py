"""Stopping a command that has jobs of an engine running, and those jobs."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from nas.errors import Interrupted

WATCH_SECONDS = 1.0


@contextmanager
def stops_in_order(command: str, out: Path) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a sentence, after what runs has been stopped.

    Args:
        command: its name; the arguments are those of the process.
        out: where what is done is kept.

    Raises:
        Interrupted: one of them came.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        print("Stopping what runs; once more stops at once.", file=sys.stderr, flush=True)
        raise _Stopped(number)

    previous = {each: signal.signal(each, leave) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (_Stopped, KeyboardInterrupt) as error:
        number = error.number if isinstance(error, _Stopped) else signal.SIGINT
        again = shlex.join([command, *sys.argv[1:]])
        raise Interrupted(
            f"Stopped; what is done is kept in {out}. Go on with: {again}", number
        ) from None
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


class _Stopped(BaseException):
    """Raised by the first signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop_with_parent() -> None:
    """Save and leave, as on SIGTERM, when the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
