"""Calls in several streams side by side, with events where one waits for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import torch

from nas.replay.schedule import Schedule
from search_spaces.kernels.tape import Call

Step = tuple[Callable[..., object], tuple[Any, ...], Mapping[str, Any]]
"""A function, its arguments, and those by name."""


class Streams:
    """Runs calls in threads, one for each stream; the first is that of the caller.

    An event is a lock that is locked until what it stands for was done: signals release it, and
    waits take it again.

    Args:
        calls: all, by their numbers.
        plan: in which stream each is made, and when.
        needed: what each call needs; each is before it in the plan.
        count: of the streams.
    """

    def __init__(
        self, calls: Sequence[Call], plan: Schedule, needed: Sequence[Iterable[int]], count: int
    ) -> None:
        self._threads = ThreadPoolExecutor(max(1, count - 1), thread_name_prefix="stream")
        self._events: list[threading.Lock] = []
        self.steps: list[list[Step]] = [[] for _ in range(count)]
        signals: dict[int, list[Step]] = {}
        waits: dict[int, list[Step]] = {}
        for call, other in events(plan, needed, count):
            event = threading.Lock()
            event.acquire()
            self._events.append(event)
            signals.setdefault(other, []).append((event.release, (), {}))
            waits.setdefault(call, []).append((event.acquire, (), {}))
        for number in plan.order:
            steps = self.steps[plan.streams[number]]
            steps += waits.get(number, ())
            steps.append(calls[number][:3])
            steps += signals.get(number, ())

    def run(self) -> None:
        """Make all calls, each stream's with as many threads of torch as the caller has.

        Raises:
            BaseException: one of them has; the others were made, on whatever that has left.
        """
        first, *others = self.steps
        threads = torch.get_num_threads()
        running: list[Future[None]] = []
        try:
            for steps in others:
                running.append(self._threads.submit(self._follow_aside, steps, threads))
            self._follow(first)
        except BaseException:
            self._let_go()
            raise
        finally:
            wait(running)
            for event in self._events:  # which a stream that has failed did not wait for
                event.acquire(blocking=False)
        for each in running:
            each.result()

    def _let_go(self) -> None:
        """Let no stream wait for another, of which it is not known whether it has begun."""
        for event in self._events:
            with suppress(RuntimeError):  # it was released already
                event.release()

    def _follow_aside(self, steps: Sequence[Step], threads: int) -> None:
        torch.set_num_threads(threads)  # which libraries keep for each thread
        self._follow(steps)

    def _follow(self, steps: Sequence[Step]) -> None:
        left = iter(steps)
        try:
            with torch.no_grad():
                for function, given, named in left:
                    function(*given, **named)
        except BaseException:
            signals = {event.release for event in self._events}
            for function, _, _ in left:
                if function in signals:
                    function()
            raise


def events(
    plan: Schedule, needed: Sequence[Iterable[int]], count: int
) -> Iterator[tuple[int, int]]:
    """Calls that have to wait for an event, each with the call of another stream that it is of.

    What a call need not wait for, since its stream knows already that it is done, is left out.

    Args:
        plan: of the calls.
        needed: what each call needs; each is before it in the plan.
        count: of the streams.
    """
    known = [[-1] * count for _ in range(count)]
    places, then = [0] * len(plan.order), [[0]] * len(plan.order)
    for place, call in enumerate(plan.order):
        stream = plan.streams[call]
        own = known[stream]
        for other in sorted(needed[call], key=places.__getitem__, reverse=True):
            if plan.streams[other] != stream and own[plan.streams[other]] < places[other]:
                yield call, other
                own[:] = map(max, own, then[other])
        own[stream] = places[call] = place
        then[call] = own.copy()
