"""Shared by all tests: one thread per process, and seeded noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests share the cores among processes; within a process threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture
def use_threads() -> Iterator[Callable[[int], None]]:
    """Lets torch use other threads in one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def seeded_noise() -> Iterator[None]:
    """Each test starts from the same random state, whichever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
