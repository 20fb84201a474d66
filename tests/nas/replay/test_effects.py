"""Calls tell the bytes that they read and write, whoever else sees them."""

from __future__ import annotations

import weakref

import numpy as np
import torch

from nas.replay.dependencies import Effect
from nas.replay.effects import effects
from nas.replay.memory import Block
from nas.replay.places import Lasting, Place
from search_spaces.kernels.tape import Call

STORAGE = torch.arange(12.0).untyped_storage()
BLOCK = Block(1000, 48, weakref.ref(STORAGE))
OTHER = Block(2000, 48, weakref.ref(STORAGE))


def of(*arguments: object, written: object = ()) -> list[Effect]:
    call = Call(print, arguments, {}, [written])
    return sorted(effects([call])[0], key=lambda each: (each.written, each.begin))


def test_what_is_written_is_not_told_as_read() -> None:
    one = Place(True, BLOCK, 8, torch.float32, (2,), (1,))
    two = Place(False, OTHER, 0, np.dtype("float64"), (3,), (8,))
    assert of([one, 3], (two,), written=two) == [
        Effect(BLOCK, 8, 16, False),
        Effect(OTHER, 0, 24, True),
    ]


def test_numbers_lie_between_the_first_and_the_last() -> None:
    turned = Place(True, BLOCK, 4, torch.float32, (2, 3), (1, 4))
    reversed_ = Place(False, OTHER, 40, np.dtype("float64"), (3,), (-16,))
    assert of(turned, reversed_) == [
        Effect(BLOCK, 4, 4 + 4 * (1 + 8 + 1), False),
        Effect(OTHER, 8, 48, False),
    ]


def test_random_numbers_come_from_a_memory_of_their_own() -> None:
    (told,) = of(written=torch.default_generator)
    assert told == Effect(id(torch.default_generator), 0, 1, True)


def test_lasting_memory_is_the_same_for_all_who_see_it() -> None:
    """A storage, another one of the same memory, and an array in the middle of it."""
    array = np.zeros(100, np.float32)
    storages = [torch.from_numpy(array).untyped_storage() for _ in range(2)]
    apart = torch.zeros(100)
    places = [
        Place(True, Lasting(weakref.ref(storage)), 0, torch.float32, (100,), (1,))
        for storage in (*storages, apart.untyped_storage())
    ]
    calls = [Call(print, (each,), {}, ()) for each in (*places, array[40:60])]
    (one,), (same,), (other,), (part,) = effects(calls)
    assert one == same
    assert one.memory == part.memory != other.memory
    assert (part.begin - one.begin, part.end - one.begin) == (160, 240)
