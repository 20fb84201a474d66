"""Which memory work takes, from when to when, and where in one arena all of it can lie."""

from __future__ import annotations

import mmap
import weakref
from bisect import bisect_right, insort
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGNMENT = 64
"""Bytes that blocks in an arena begin at a multiple of: lines of a cache."""


@dataclass(eq=False, slots=True)
class Block:
    """Memory that was given out while work was recorded.

    Attributes:
        address: of its first byte, then.
        size: in bytes.
        born: how many calls had been recorded before it was there.
        died: how many had when it was given back; None if it is still held.
        owner: what holds it, as long as that is held by others.
        offset: in the arena.
    """

    address: int
    size: int
    born: int
    owner: weakref.ref[Any]
    died: int | None = None
    offset: int = 0


class Blocks:
    """All blocks of a recording.

    Attributes:
        time: how many calls have been recorded.
    """

    def __init__(self) -> None:
        self.time = 0
        self.all: list[Block] = []
        self._addresses: list[int] = []
        self._present: dict[int, Block] = {}

    def take(self, owner: Any, address: int, size: int) -> None:
        """A block that is there as long as its owner."""
        if size == 0:
            return
        block = Block(address, size, self.time, weakref.ref(owner))
        self.all.append(block)
        insort(self._addresses, address)
        self._present[address] = block
        weakref.finalize(owner, self._give_back, block).atexit = False

    def at(self, address: int) -> Block | None:
        """The present block that an address is in."""
        place = bisect_right(self._addresses, address) - 1
        if place < 0:
            return None
        block = self._present[self._addresses[place]]
        return block if address < block.address + block.size else None

    def _give_back(self, block: Block) -> None:
        block.died = self.time
        del self._present[block.address]
        del self._addresses[bisect_right(self._addresses, block.address) - 1]


def arrange(blocks: Sequence[Block]) -> int:
    """Give all blocks that died an offset, such that none overlap at a time; bytes needed.

    Each takes the smallest gap that it fits in when it is born, as allocators do. One that died
    before another call was made is in no call, and has no place.
    """
    lying = [block for block in blocks if block.died is not None and block.died > block.born]
    dying = sorted(lying, key=_died)
    gaps, end, dead = _Gaps(), 0, 0
    for block in lying:
        while _died(dying[dead]) <= block.born:
            gaps.add(dying[dead].offset, _room(dying[dead]))
            dead += 1
        found = gaps.take(_room(block))
        if found is None:
            found = gaps.take_end(end)
            end = found + _room(block)
        block.offset = found
    return end


class _Gaps:
    """Free ranges of an arena, of which no two touch."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._begins: dict[int, int] = {}
        self._by_size: list[tuple[int, int]] = []

    def add(self, offset: int, size: int) -> None:
        """Free a range, together with those that it touches."""
        if offset in self._begins:
            before = self._begins[offset]
            size += self._remove(before)
            offset = before
        if offset + size in self._sizes:
            size += self._remove(offset + size)
        self._insert(offset, size)

    def take(self, size: int) -> int | None:
        """The beginning of the smallest gap with so much room, which is no longer free."""
        place = bisect_right(self._by_size, (size, -1))
        if place == len(self._by_size):
            return None
        room, offset = self._by_size[place]
        self._remove(offset)
        if room > size:
            self._insert(offset + size, room - size)
        return offset

    def take_end(self, end: int) -> int:
        """Where a range begins that goes beyond the end: behind the last one that is in use."""
        if end not in self._begins:
            return end
        begin = self._begins[end]
        self._remove(begin)
        return begin

    def _insert(self, offset: int, size: int) -> None:
        self._sizes[offset] = size
        self._begins[offset + size] = offset
        insort(self._by_size, (size, offset))

    def _remove(self, offset: int) -> int:
        size = self._sizes.pop(offset)
        del self._begins[offset + size]
        del self._by_size[bisect_right(self._by_size, (size, offset)) - 1]
        return size


def _died(block: Block) -> int:
    assert block.died is not None
    return block.died


def _room(block: Block) -> int:
    return -(-block.size // ALIGNMENT) * ALIGNMENT


class Arena:
    """Memory for all replays, of which no two run at a time.

    Pages are taken from the machine when they are first written.
    """

    def __init__(self) -> None:
        self._memory = _pages(mmap.PAGESIZE)

    def bytes(self, size: int) -> np.ndarray:
        """So many bytes, the same ones for all who ask, as long as there are enough.

        Raises:
            MemoryError: the machine has no more.
        """
        if size > len(self._memory):
            self._memory = _pages(size)
        return np.frombuffer(self._memory, np.uint8)

    def __len__(self) -> int:
        """How many bytes there are."""
        return len(self._memory)

    def rest(self) -> None:
        """Give the pages back until they are written again; what is in them is lost."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._memory.madvise(mmap.MADV_DONTNEED)


def _pages(size: int) -> mmap.mmap:
    """Memory in large pages, if the machine has some: a processor finds them faster."""
    try:
        if not hasattr(mmap, "MAP_PRIVATE"):
            return mmap.mmap(-1, size)
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no {size} bytes for replays") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel that was built without
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
