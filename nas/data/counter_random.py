"""Random numbers as a pure function of seed and place, equal on every device.

The numbers of a seed are those of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators", section 4): number i is a hash of the state plus i times an odd
constant. Nothing is carried from one number to the next, so that the numbers of many seeds are
drawn as one tensor, in any pieces and on any device, with the same result. The state is the hash
of the seed, since neighbouring seeds would otherwise have shifted copies of the same numbers.

The arithmetic is that of 64-bit integers which wrap around.
"""

from __future__ import annotations

import torch

GAMMA = -7046029254386353131
"""2^64 divided by the golden ratio, odd, as a signed number (0x9E3779B97F4A7C15)."""

_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB


def random_bits(seeds: torch.Tensor, count: int, first: int = 0) -> torch.Tensor:
    """The numbers ``first`` to ``first + count - 1`` of every seed.

    Args:
        seeds: (N,) int64, any values.
        count: M, numbers of each seed.
        first: of them, 0 or more.

    Returns:
        (N, M) int64, uniform over all 64-bit numbers, on the device of the seeds.
    """
    places = torch.arange(first + 1, first + count + 1, device=seeds.device) * GAMMA
    return _mixed(_mixed(seeds)[:, None] + places)


def derived_seeds(seeds: torch.Tensor, count: int) -> torch.Tensor:
    """(N,) int64 seeds to (N, M) seeds, each for a purpose of its own."""
    return random_bits(seeds, count)


def uniform(seeds: torch.Tensor, count: int) -> torch.Tensor:
    """(N, M) float32, uniform in [0, 1): the upper 24 bits of `random_bits`."""
    return _shifted(random_bits(seeds, count), 40).float() * 2.0**-24


def symmetric(seeds: torch.Tensor, count: int, first: int = 0) -> torch.Tensor:
    """Uniform numbers in [-1, 1], two from each of `random_bits`, beginning with number ``first``.

    Returns:
        (N, M) float32, a signed half of a 64-bit number times 2^-31.
    """
    halves = random_bits(seeds, -(-count // 2), first).view(torch.int32)
    return halves[:, :count].float().mul_(2.0**-31)


def _mixed(state: torch.Tensor) -> torch.Tensor:
    """The finalising hash of SplitMix64, a permutation of the 64-bit numbers."""
    state = state ^ _shifted(state, 30)
    state.mul_(_FIRST).bitwise_xor_(_shifted(state, 27))
    state.mul_(_SECOND).bitwise_xor_(_shifted(state, 31))
    return state


def _shifted(number: torch.Tensor, places: int) -> torch.Tensor:
    """Shift to the right that fills with zeros, as of an unsigned number."""
    return (number >> places).bitwise_and_((1 << (64 - places)) - 1)
