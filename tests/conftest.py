"""Shared by all tests: one thread per process, and seeded noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests share the cores among processes; within a process threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded_noise() -> Iterator[None]:
    """Each test starts from the same random state, whichever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def real_data() -> Path:
    """Folder of real data sets, where this checkout has one beside it."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real images beside this checkout")
    return REAL_DATA
