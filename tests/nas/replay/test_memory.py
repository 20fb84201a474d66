"""Blocks do not overlap while they live, and take no more memory than they have to."""

from __future__ import annotations

import gc
import mmap
import sys
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.replay.memory import ALIGNMENT, Arena, Block, Blocks, arrange, successions


class Owner:
    """Holds nothing."""


OWNER = Owner()


def block(size: int, born: int, died: int) -> Block:
    return Block(0, size, weakref.ref(OWNER), False, born, died)


def room(one: Block) -> int:
    """With what is lost to alignment."""
    return -(-one.size // ALIGNMENT) * ALIGNMENT


@st.composite
def lives(draw: st.DrawFn, sizes: st.SearchStrategy[int]) -> list[Block]:
    """Blocks in the order of their births."""
    births = sorted(draw(st.lists(st.integers(0, 30), max_size=40)))
    return [block(draw(sizes), born, born + draw(st.integers(1, 12))) for born in births]


def most_alive(blocks: Sequence[Block]) -> int:
    """Bytes at once."""
    return max(
        (
            sum(room(one) for one in blocks if one.born <= present.born < one.died)
            for present in blocks
        ),
        default=0,
    )


def check(blocks: Sequence[Block]) -> None:
    end = arrange(blocks)
    for place, one in enumerate(blocks):
        assert one.offset % ALIGNMENT == 0
        assert one.offset >= 0
        assert one.offset + one.size <= end
        for other in blocks[:place]:
            if one.born < other.died and other.born < one.died:
                apart = one.offset + one.size <= other.offset
                assert apart or other.offset + other.size <= one.offset
    assert most_alive(blocks) <= end <= sum(room(one) for one in blocks)


@settings(deadline=None, max_examples=200)
@given(lives(st.integers(1, 400)))
def test_blocks_that_live_at_a_time_have_memory_of_their_own(blocks: list[Block]) -> None:
    check(blocks)


@settings(deadline=None)
@given(st.integers(1, 200).flatmap(lambda size: lives(st.just(size))))
def test_blocks_of_one_size_take_no_more_than_live_at_once(blocks: list[Block]) -> None:
    assert arrange(blocks) == most_alive(blocks)


@settings(deadline=None, max_examples=200)
@given(lives(st.integers(1, 400)))
def test_a_block_follows_those_that_lay_where_it_lies(blocks: list[Block]) -> None:
    """Directly, or through others."""
    arrange(blocks)
    followed: dict[Block, set[Block]] = {one: set() for one in blocks}
    for one, before in successions(blocks):
        assert before.died <= one.born
        followed[one] |= {before} | followed[before]
    for place, one in enumerate(blocks):
        for other in blocks[:place]:
            if max(one.offset, other.offset) < min(
                one.offset + one.size, other.offset + other.size
            ):
                assert other in followed[one]


def test_blocks_that_never_share_memory_follow_nobody() -> None:
    blocks = [block(64, 0, 9), block(64, 0, 1), block(64, 1, 9)]
    arrange(blocks)
    assert list(successions(blocks)) == [(blocks[2], blocks[1])]


def offsets(*blocks: Block) -> tuple[int, list[int]]:
    end = arrange(blocks)
    return end, [each.offset for each in blocks]


def test_no_blocks_take_nothing() -> None:
    assert arrange([]) == 0


def test_offsets_are_multiples_of_the_alignment() -> None:
    assert offsets(block(1, 0, 9), block(65, 0, 9), block(64, 0, 9)) == (256, [0, 64, 192])


def test_memory_is_free_for_what_is_born_as_its_block_dies() -> None:
    assert offsets(block(64, 0, 1), block(64, 1, 2), block(64, 1, 2)) == (128, [0, 0, 64])


def test_a_block_is_not_overwritten_while_it_is_read() -> None:
    assert offsets(block(64, 0, 2), block(64, 1, 2)) == (128, [0, 64])


@pytest.mark.parametrize("first", [0, 1])
def test_neighbours_that_are_free_take_what_neither_could(first: int) -> None:
    """Whichever of them is freed first."""
    one, other = block(64, 0, 1 + first), block(64, 0, 2 - first)
    assert offsets(one, other, block(64, 0, 9), block(128, 3, 9)) == (192, [0, 64, 128, 0])


def test_three_neighbours_become_one_gap() -> None:
    blocks = [block(64, 0, died) for died in (1, 3, 2, 9)]
    assert offsets(*blocks, block(192, 4, 9)) == (256, [0, 64, 128, 192, 0])


def test_the_smallest_gap_that_fits_is_taken() -> None:
    sizes = {192: 1, 65: 9, 128: 1, 66: 9}
    blocks = [block(size, 0, died) for size, died in sizes.items()]
    end, found = offsets(*blocks, block(100, 2, 9), block(192, 2, 9))
    assert (end, found) == (576, [0, 192, 320, 448, 320, 0])


def test_of_gaps_of_a_size_the_first_is_taken() -> None:
    blocks = [block(64, 0, died) for died in (1, 9, 1, 9)]
    assert offsets(*blocks, block(64, 2, 9)) == (256, [0, 64, 128, 192, 0])


def test_the_rest_of_a_gap_stays_free() -> None:
    blocks = [block(192, 0, 1), block(64, 0, 9)]
    found = offsets(*blocks, block(64, 1, 9), block(128, 1, 9), block(64, 1, 9))
    assert found == (320, [0, 192, 0, 64, 256])


def test_the_last_gap_grows() -> None:
    assert offsets(block(64, 0, 9), block(64, 0, 1), block(256, 1, 9)) == (320, [0, 64, 64])


def test_a_gap_before_the_last_block_does_not_grow() -> None:
    assert offsets(block(64, 0, 1), block(64, 0, 9), block(128, 1, 9)) == (256, [0, 64, 128])


def test_addresses_are_found_in_the_blocks_that_hold_them() -> None:
    blocks, owners = Blocks(), [Owner(), Owner(), Owner()]
    for owner, address in zip(owners, (1000, 200, 1100), strict=True):
        blocks.take(owner, address, 100)
    one, low, high = (blocks.at(address) for address in (1000, 200, 1100))
    assert one and low and high
    assert [each.address for each in (one, low, high)] == [1000, 200, 1100]
    assert [blocks.at(address) for address in (999, 1000, 1050, 1099)] == [None, one, one, one]
    assert [blocks.at(address) for address in (1100, 1199, 1200)] == [high, high, None]
    assert [blocks.at(address) for address in (0, 199, 200, 299, 300)] == [
        None,
        None,
        low,
        low,
        None,
    ]


def test_nothing_is_in_no_blocks() -> None:
    blocks = Blocks()
    assert blocks.at(0) is None
    blocks.take(OWNER, 100, 0)
    assert blocks.at(100) is None


def present(blocks: Blocks, address: int) -> Block:
    found = blocks.at(address)
    assert found is not None
    return found


def test_blocks_are_there_as_long_as_they_are_held() -> None:
    blocks, owner, other = Blocks(), Owner(), Owner()
    blocks.take(owner, 100, 8)
    blocks.take(other, 108, 8)
    one, two = present(blocks, 104), present(blocks, 108)
    assert one.is_held
    assert one.owner() is owner
    del owner
    assert not one.is_held
    assert one.owner() is None
    assert blocks.at(104) is None
    assert blocks.at(108) is two
    again = Owner()
    blocks.take(again, 100, 4)
    assert present(blocks, 103) is not one
    assert blocks.at(104) is None
    assert two.is_held


def test_memory_of_tensors_goes_with_all_that_hold_it() -> None:
    blocks = Blocks()
    tensor = torch.zeros(4, 5)
    blocks.take(tensor.untyped_storage(), tensor.data_ptr(), tensor.untyped_storage().nbytes())
    view = tensor.t()[1:]
    del tensor
    gc.collect()
    found = present(blocks, view.data_ptr())
    assert found.is_held
    del view
    assert not found.is_held


def test_memory_of_tensors_that_autograd_holds_is_there() -> None:
    blocks, weight = Blocks(), torch.ones(3, requires_grad=True)
    kept = weight.detach() * 2
    blocks.take(kept.untyped_storage(), kept.data_ptr(), 12)
    product = (weight * kept).sum()
    found = present(blocks, kept.data_ptr())
    del kept
    gc.collect()
    assert found.is_held
    torch.autograd.grad(product, weight)
    assert not found.is_held


def test_memory_of_arrays_goes_with_all_that_hold_it() -> None:
    blocks = Blocks()
    array = np.zeros((4, 5))
    blocks.take(array, array.ctypes.data, array.nbytes)
    view = array.T[1:]
    del array
    found = present(blocks, view.ctypes.data)
    tensor = torch.from_numpy(view)
    del view
    assert found.is_held
    del tensor
    assert not found.is_held


def test_an_arena_is_the_same_memory_as_long_as_it_is_enough() -> None:
    arena = Arena()
    large = arena.bytes(3 * mmap.PAGESIZE)
    small = arena.bytes(5)
    small[4] = 9
    assert large[4] == 9
    assert large.dtype == np.uint8
    assert len(arena.bytes(3 * mmap.PAGESIZE)) >= 3 * mmap.PAGESIZE
    assert arena.bytes(0).ctypes.data == large.ctypes.data
    assert large.ctypes.data % ALIGNMENT == 0


def test_what_an_arena_was_stays_when_it_grows() -> None:
    arena = Arena()
    before = arena.bytes(8)
    before[:8] = 5
    after = arena.bytes(10 * mmap.PAGESIZE)
    assert len(after) >= 10 * mmap.PAGESIZE
    after[:] = 6
    assert (before[:8] == 5).all()
    assert arena.bytes(8).ctypes.data == after.ctypes.data


def test_memory_that_rests_can_be_written_again() -> None:
    arena = Arena()
    memory = arena.bytes(4 * mmap.PAGESIZE)
    memory[:] = 3
    arena.rest()
    memory[:] = 4
    again = arena.bytes(4 * mmap.PAGESIZE)
    assert again.ctypes.data == memory.ctypes.data
    assert (again == 4).all()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may keep the pages")
def test_memory_that_rests_is_given_back() -> None:
    arena = Arena()
    memory = arena.bytes(4 * mmap.PAGESIZE)
    memory[:] = 3
    arena.rest()
    assert not memory.any()
