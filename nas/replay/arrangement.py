"""Recorded calls on one arena, in streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nas.replay.dependencies import Effect, dependencies
from nas.replay.effects import effects
from nas.replay.memory import Arena, Block, arrange, successions
from nas.replay.places import Memory
from nas.replay.schedule import Schedule, schedule
from nas.replay.streams import Streams
from search_spaces.kernels.tape import Call

SLACK = 0.01
"""Seconds of calls for which memory that two streams have used is left alone: neither has to wait
for the other then."""


def arranged(calls: list[Call], costs: Sequence[float], arena: Arena, streams: int) -> Streams:
    """What makes the calls, as soon as they can be made and as often as is wanted.

    Each stream has a part of the arena, of those blocks that it uses first.

    Args:
        calls: with places, in the order in which they were made; they are put on the arena.
        costs: of the calls, in seconds.
        arena: gets as large as is needed.
        streams: how many calls are made at a time.
    """
    touched = effects(calls)
    needed = dependencies(touched) if streams > 1 else [set() for _ in calls]
    plan = schedule(costs, needed, streams)
    uses = _uses(plan, touched)
    _keep_shared(uses, int(SLACK * len(costs) / max(sum(costs), SLACK)))
    memory = Memory(arena.bytes(_lay_out(uses, streams)))
    for block, before in successions(list(uses)):
        for stream, call in uses[block].first.items():
            last = uses[before].last
            needed[call].update(last[other] for other in last if other != stream)
    for number, each in enumerate(calls):
        calls[number] = Call(each.function, *(memory.found(part) for part in each[1:]))
    return Streams(calls, plan, needed, streams)


@dataclass
class _Use:
    """The first and the last call that use a block, by stream."""

    home: int
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)


def _uses(plan: Schedule, touched: Sequence[Sequence[Effect]]) -> dict[Block, _Use]:
    """Of all blocks that were given back, in their order; they are born and die by the plan."""
    uses: dict[Block, _Use] = {}
    for place, call in enumerate(plan.order):
        stream = plan.streams[call]
        for block in {each.memory for each in touched[call]}:
            if not isinstance(block, Block) or block.is_held:
                continue
            if block not in uses:
                uses[block] = _Use(stream)
                block.born = place
            uses[block].first.setdefault(stream, call)
            uses[block].last[stream] = call
            block.died = place + 1
    return uses


def _keep_shared(uses: Mapping[Block, _Use], calls: int) -> None:
    """Let blocks that several streams use live for some more calls."""
    for block, use in uses.items():
        if len(use.last) > 1:
            block.died += calls


def _lay_out(uses: Mapping[Block, _Use], streams: int) -> int:
    """Give all blocks an offset; bytes needed."""
    end = 0
    for stream in range(streams):
        own = [block for block, use in uses.items() if use.home == stream]
        size = arrange(own)
        for block in own:
            block.offset += end
        end += size
    return end
