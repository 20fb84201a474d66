"""What calls read and write, in bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from nas.replay.dependencies import Effect
from nas.replay.places import Lasting, Place, leaves, owner_of, span
from search_spaces.kernels.tape import Call

LASTING = "lasting"
"""All memory whose bytes have an address of their own, before it is divided into regions."""

Span = tuple[Hashable, int, int]
"""A memory, and from which byte to which."""


def effects(calls: Sequence[Call]) -> list[list[Effect]]:
    """Of each call with places; what may share memory is told of one memory."""
    regions = _regions(calls)
    known: dict[Effect, Effect] = {}
    return [[known.setdefault(each, each) for each in _of(call, regions)] for call in calls]


def _of(call: Call, regions: Sequence[int]) -> Iterator[Effect]:
    written = set(_spans(call.written))
    read = set(_spans([call.arguments, call.options])) - written
    for spans, writes in ((written, True), (read, False)):
        for memory, begin, end in spans:
            if memory is LASTING:
                memory = regions[bisect_right(regions, begin) - 1]
            yield Effect(memory, begin, end, writes)


def _spans(tree: Any) -> Iterator[Span]:
    for leaf in leaves(tree):
        if type(leaf) is Place:
            begin, end = leaf.span()
            if isinstance(leaf.memory, Lasting):
                address = owner_of(leaf.memory).data_ptr()
                yield LASTING, address + begin, address + end
            else:
                yield leaf.memory, begin, end
        elif isinstance(leaf, np.ndarray) and leaf.size:
            yield LASTING, *span(leaf.ctypes.data, leaf.itemsize, leaf.shape, leaf.strides)
        elif isinstance(leaf, torch.Generator):
            yield id(leaf), 0, 1


def _regions(calls: Iterable[Call]) -> list[int]:
    """Where parts of lasting memory begin that no call touches together with the one before."""
    spans = {
        (begin, end)
        for call in calls
        for memory, begin, end in _spans(call[1:])
        if memory is LASTING
    }
    begins: list[int] = []
    last = -1
    for begin, end in sorted(spans):
        if begin >= last:
            begins.append(begin)
        last = max(last, end)
    return begins
