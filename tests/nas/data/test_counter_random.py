from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from nas.data.counter_random import derived_seeds, random_bits, symmetric, uniform

MASK = 2**64 - 1
SEEDS = st.integers(-(2**63), 2**63 - 1)


def splitmix(state: int) -> int:
    """One number of the generator, as published in C, by integers that never wrap by themselves."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


def signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def test_the_oracle_gives_the_numbers_that_are_known_of_the_seed_1234567() -> None:
    gamma = 0x9E3779B97F4A7C15
    found = [splitmix((1234567 + i * gamma) & MASK) for i in (1, 2, 3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@settings(max_examples=25, deadline=None)
@given(seeds=st.lists(SEEDS, min_size=1, max_size=4), first=st.integers(0, 2**40))
def test_numbers_are_those_of_splitmix_from_the_hash_of_the_seed(
    seeds: list[int], first: int
) -> None:
    found = random_bits(torch.tensor(seeds), 3, first)
    expected = [
        [
            signed(splitmix((splitmix(seed & MASK) + i * 0x9E3779B97F4A7C15) & MASK))
            for i in range(first + 1, first + 4)
        ]
        for seed in seeds
    ]
    assert found.tolist() == expected


def test_chunks_and_companions_change_nothing() -> None:
    seeds = torch.tensor([5, -7, 2**62])
    whole = random_bits(seeds, 10)
    assert torch.equal(torch.cat((random_bits(seeds, 4), random_bits(seeds, 6, 4)), 1), whole)
    assert torch.equal(torch.cat([random_bits(seed[None], 10) for seed in seeds]), whole)
    assert torch.equal(symmetric(seeds, 5, 3), symmetric(seeds, 8, 3)[:, :5])
    assert torch.equal(uniform(seeds, 2), uniform(seeds, 9)[:, :2])
    assert torch.equal(derived_seeds(seeds, 4), whole[:, :4])


def test_seeds_are_left_as_they_are_and_no_global_state_is_touched() -> None:
    seeds, state = torch.arange(5), torch.get_rng_state()
    random_bits(seeds, 3)
    assert seeds.tolist() == [0, 1, 2, 3, 4] and torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1])
def test_numbers_of_one_seed_are_uniform(seed: int) -> None:
    seeds = torch.tensor([seed])
    for draw, low, width in ((uniform, 0, 1), (symmetric, -1, 2)):
        numbers = draw(seeds, 100_000)[0].double().numpy()
        assert numbers.min() >= low and numbers.max() <= low + width
        assert kstest(numbers, "uniform", (low, width)).pvalue > 1e-4
        # Pairs of neighbours fill the square evenly.
        pairs = np.histogram2d(numbers[::2], numbers[1::2], bins=16)[0]
        assert chisquare(pairs.ravel()).pvalue > 1e-4


def test_first_numbers_of_neighbouring_seeds_are_uniform_and_independent() -> None:
    numbers = uniform(torch.arange(100_000), 3).double().numpy()
    for column in numbers.T:
        assert kstest(column, "uniform").pvalue > 1e-4
        pairs = np.histogram2d(column[::2], column[1::2], bins=16)[0]
        assert chisquare(pairs.ravel()).pvalue > 1e-4
    correlations = np.corrcoef(np.concatenate((numbers[1:], numbers[:-1]), axis=1).T)
    assert np.abs(correlations - np.eye(6)).max() < 5 / 100_000**0.5


def test_neighbouring_seeds_share_no_numbers_at_any_shift() -> None:
    numbers = random_bits(torch.arange(-20, 20), 2000)
    assert numbers.unique().numel() == numbers.numel()


def test_every_bit_is_as_often_one_as_zero() -> None:
    bits = (random_bits(torch.arange(40), 1000).flatten()[:, None] >> torch.arange(64)) & 1
    # Five standard deviations among 40,000.
    assert (bits.float().mean(dim=0) - 0.5).abs().max() < 0.0125


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_numbers_are_the_same_on_a_gpu() -> None:
    seeds = torch.tensor([0, -1, 2**63 - 1, -(2**63), 12345])
    for draw in (random_bits, uniform, symmetric):
        assert torch.equal(draw(seeds, 10_001), draw(seeds.cuda(), 10_001).cpu())
