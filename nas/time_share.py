"""At most so large a part of a run's time for what is done beside its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeShare:
    """How long something has taken, in parts of the time since this began.

    Args:
        largest: part of the time that it may take, in [0, 1].
        now: seconds on any clock.
    """

    def __init__(self, largest: float, now: Callable[[], float] = time.monotonic) -> None:
        self._largest = largest
        self._now = now
        self._began = now()
        self._spent = 0.0

    @property
    def is_left(self) -> bool:
        """Whether it has taken no more than its part; so it is before the first time."""
        return self._spent <= self._largest * (self._now() - self._began)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """What is done in this context is counted."""
        began = self._now()
        try:
            yield
        finally:
            self._spent += self._now() - began
