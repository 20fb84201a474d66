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
"""The memory of all bytes with an address of their own, until `in_regions` divides it."""


def effects(calls: Iterable[Call]) -> list[list[Effect]]:
    """Of each call with places; what may share memory is told of one memory."""
    return in_regions([list(_of(call)) for call in calls])


def _of(call: Call) -> Iterator[Effect]:
    written = set(_spans(call.written))
    read = set(_spans([call.arguments, call.options]))
    for each in written:
        yield Effect(*each, written=True)
    for each in read - written:
        yield Effect(*each, written=False)


def _spans(tree: Any) -> Iterator[tuple[Hashable, int, int]]:
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


def in_regions(effects: list[list[Effect]]) -> list[list[Effect]]:
    """The same, with lasting memory divided where no call touches both sides."""
    spans = {(each.begin, each.end) for of in effects for each in of if each.memory is LASTING}
    begins = _regions(sorted(spans))

    def divided(effect: Effect) -> Effect:
        if effect.memory is not LASTING:
            return effect
        return effect._replace(memory=begins[bisect_right(begins, effect.begin) - 1])

    return [[divided(each) for each in of] for of in effects]


def _regions(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Where the unions of overlapping spans begin, in order."""
    begins: list[int] = []
    last = -1
    for begin, end in spans:
        if begin >= last:
            begins.append(begin)
        last = max(last, end)
    return begins
