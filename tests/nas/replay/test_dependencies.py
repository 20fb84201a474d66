"""Calls need all others whose bytes they meet, directly or through others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nas.replay.dependencies import Effect, dependencies

EFFECTS = st.builds(
    lambda memory, begin, size, written: Effect(memory, begin, begin + size, written),
    st.sampled_from("ab"),
    st.integers(0, 6),
    st.integers(1, 5),
    st.booleans(),
)
CALLS = st.lists(st.lists(EFFECTS, max_size=3), max_size=14)


def meet(one: list[Effect], other: list[Effect]) -> bool:
    return any(
        a.memory == b.memory and a.begin < b.end and b.begin < a.end and (a.written or b.written)
        for a in one
        for b in other
    )


@given(CALLS)
def test_what_meets_is_needed_and_nothing_else(calls: list[list[Effect]]) -> None:
    needed = dependencies(calls)
    reached: list[set[int]] = []
    for call, before in enumerate(needed):
        reached.append(before.union(*(reached[other] for other in before)))
        assert all(meet(calls[other], calls[call]) for other in before)
        met = {other for other in range(call) if meet(calls[other], calls[call])}
        assert met <= reached[call]


def test_reads_do_not_need_each_other() -> None:
    written, read = Effect("a", 0, 8, True), Effect("a", 2, 4, False)
    assert dependencies([[written], [read], [read], [written]]) == [set(), {0}, {0}, {0, 1, 2}]


def test_bytes_beside_each_other_do_not_meet() -> None:
    halves = Effect("a", 0, 4, True), Effect("a", 4, 8, True)
    assert dependencies([[halves[0]], [halves[1]], [Effect("b", 0, 8, True)]]) == [set()] * 3
