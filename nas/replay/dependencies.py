"""Which calls need which: all that read what another writes, or write what another uses."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple


class Effect(NamedTuple):
    """Bytes from begin to end of one memory, which a call reads, or may write too."""

    memory: Hashable
    begin: int
    end: int
    written: bool


def dependencies(effects: Iterable[Sequence[Effect]]) -> list[set[int]]:
    """What each call needs to have been made: numbers of calls before it.

    Whatever that follows from others may be missing: what a call that overwrites others' bytes
    needs, those behind it need not be told.

    Args:
        effects: of the calls, in an order that is right.
    """
    histories: dict[Hashable, _History] = {}
    needed: list[set[int]] = []
    for call, touched in enumerate(effects):
        before: set[int] = set()
        for effect in touched:
            before |= histories.setdefault(effect.memory, _History()).met_by(effect)
        for effect in touched:
            histories[effect.memory].add(effect, call)
        needed.append(before)
    return needed


class _History:
    """Uses of one memory that later calls can need."""

    def __init__(self) -> None:
        self._reads: list[tuple[int, int, int]] = []
        self._writes: list[tuple[int, int, int]] = []

    def met_by(self, effect: Effect) -> set[int]:
        _, begin, end, written = effect
        uses = self._writes + self._reads if written else self._writes
        return {call for first, last, call in uses if first < end and begin < last}

    def add(self, effect: Effect, call: int) -> None:
        _, begin, end, written = effect
        if not written:
            self._reads.append((begin, end, call))
            return
        self._reads = [use for use in self._reads if not begin <= use[0] <= use[1] <= end]
        self._writes = [use for use in self._writes if not begin <= use[0] <= use[1] <= end]
        self._writes.append((begin, end, call))
