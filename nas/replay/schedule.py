"""When calls are made, and in which of several streams side by side."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import NamedTuple

WINDOW = 0.04
"""Seconds of calls that one may go ahead of the first that waits: the more, the more memory."""

CHOICE = 16
"""Calls among which the next one of a stream is chosen, at most."""

LATENCY = 200e-6
"""Seconds until one stream sees what another has done."""


class Schedule(NamedTuple):
    """An order of calls that is right by itself, and the stream that each is made in.

    Attributes:
        order: numbers of the calls.
        streams: of each call, by its number.
    """

    order: list[int]
    streams: list[int]


def schedule(costs: Sequence[float], needed: Sequence[Collection[int]], streams: int) -> Schedule:
    """List scheduling (Graham, 1969): the stream that is free first takes what it can begin first.

    Args:
        costs: of the calls, in seconds.
        needed: what each call needs, each once (`nas.replay.dependencies`).
        streams: how many.
    """
    return _Plan(costs, needed, streams).made()


class _Plan:
    def __init__(
        self, costs: Sequence[float], needed: Sequence[Collection[int]], streams: int
    ) -> None:
        self._costs = costs
        self._needed = needed
        self._free = [0.0] * streams
        self._finished = [0.0] * len(costs)
        self._ahead = list(accumulate(costs, initial=0.0))
        self._streams = [-1] * len(costs)
        self._waits_for = [len(before) for before in needed]
        self._needing: list[list[int]] = [[] for _ in costs]
        for call, before in enumerate(needed):
            for other in before:
                self._needing[other].append(call)

    def made(self) -> Schedule:
        ready = [call for call, count in enumerate(self._waits_for) if count == 0]
        order: list[int] = []
        first = 0
        while ready:
            while first < len(self._streams) and self._streams[first] >= 0:
                first += 1
            stream = min(range(len(self._free)), key=self._free.__getitem__)
            call = self._chosen(ready, stream, self._ahead[first] + WINDOW)
            self._place(call, min(range(len(self._free)), key=lambda each: self._begin(call, each)))
            order.append(call)
            for other in self._needing[call]:
                self._waits_for[other] -= 1
                if self._waits_for[other] == 0:
                    heapq.heappush(ready, other)
        return Schedule(order, self._streams)

    def _chosen(self, ready: list[int], stream: int, end: float) -> int:
        """Take the ready call out that the stream can begin first: the earlier one, of equals."""
        seen: list[int] = []
        best = None
        while ready and len(seen) < CHOICE and self._ahead[ready[0]] < end:
            call = heapq.heappop(ready)
            seen.append(call)
            begin = self._begin(call, stream)
            if best is None or begin < best[0]:
                best = begin, call
            if begin <= self._free[stream]:
                break
        assert best is not None
        for call in seen:
            if call != best[1]:
                heapq.heappush(ready, call)
        return best[1]

    def _begin(self, call: int, stream: int) -> float:
        """When a stream can begin a call."""
        begin = self._free[stream]
        for other in self._needed[call]:
            seen = self._finished[other] + (LATENCY if self._streams[other] != stream else 0)
            if seen > begin:
                begin = seen
        return begin

    def _place(self, call: int, stream: int) -> None:
        finished = self._begin(call, stream) + self._costs[call]
        self._finished[call] = self._free[stream] = finished
        self._streams[call] = stream
