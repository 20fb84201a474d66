"""Which memory work takes, from when to when, and where in one arena all of it can lie."""

from __future__ import annotations

import mmap
import weakref
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
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
        owner: what holds it, as long as that is held by others.
        is_held: whether that is so.
        born: how many calls are made before the first one that uses it.
        died: how many are, once nothing may use it any more.
        offset: in the arena, of one that was given back.
    """

    address: int
    size: int
    owner: weakref.ref[Any]
    is_held: bool = True
    born: int = 0
    died: int = 0
    offset: int = 0


class Blocks:
    """The blocks of a recording that are held."""

    def __init__(self) -> None:
        self._addresses: list[int] = []
        self._present: dict[int, Block] = {}

    def take(self, owner: Any, address: int, size: int) -> None:
        """A block that is there as long as its owner."""
        if size == 0:
            return
        block = Block(address, size, weakref.ref(owner))
        insort(self._addresses, address)
        self._present[address] = block
        weakref.finalize(owner, self._give_back, block).atexit = False

    def at(self, address: int) -> Block | None:
        """The block that an address is in."""
        place = bisect_right(self._addresses, address) - 1
        if place < 0:
            return None
        block = self._present[self._addresses[place]]
        return block if address < block.address + block.size else None

    def _give_back(self, block: Block) -> None:
        block.is_held = False
        del self._present[block.address]
        del self._addresses[bisect_right(self._addresses, block.address) - 1]


def arrange(blocks: Sequence[Block]) -> int:
    """Give blocks an offset, such that none overlap at a time; bytes needed.

    Each takes the smallest gap that it fits in when it is born, as allocators do.

    Args:
        blocks: in the order in which they are born, each before it dies.
    """
    dying = sorted(blocks, key=lambda block: block.died)
    gaps, end, dead = _Gaps(), 0, 0
    for block in blocks:
        while dying[dead].died <= block.born:
            gaps.add(dying[dead].offset, _room(dying[dead]))
            dead += 1
        found = gaps.take(_room(block))
        if found is None:
            found = gaps.take_end(end)
            end = found + _room(block)
        block.offset = found
    return end


def successions(blocks: Iterable[Block]) -> Iterator[tuple[Block, Block]]:
    """Each block that lies where another has lain last, with that one.

    Args:
        blocks: in an arena, in the order in which they are born.
    """
    begins: list[int] = []
    lying: dict[int, tuple[int, Block]] = {}
    for block in blocks:
        begin, end = block.offset, block.offset + _room(block)
        first = bisect_right(begins, begin) - 1
        first = first if first >= 0 and lying[begins[first]][0] > begin else first + 1
        last = bisect_left(begins, end)
        left: dict[int, tuple[int, Block]] = {begin: (end, block)}
        for other in begins[first:last]:
            bound, before = lying.pop(other)
            yield block, before
            if other < begin:
                left[other] = begin, before
            if bound > end:
                left[end] = bound, before
        begins[first:last] = sorted(left)
        lying.update(left)


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
