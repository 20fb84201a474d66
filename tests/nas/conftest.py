"""Data in memory for tests of the stages, bright discs on dark ground; a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nas.data.cases import Case, Subset
from nas.data.splits import Split
from nas.preparation import Data

SIZE = 32
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass(frozen=True)
class Discs:
    """Cases that are drawn when they are read; ``shift`` makes other images of the same names."""

    cases: tuple[Case, ...]
    channels: int = 1
    shift: float = 0.0
    name: str = "discs"
    classes: tuple[str, ...] = ("background", "disc")
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lists: Mapping[Subset, tuple[str, ...]] | None = None

    def read_image(self, case: Case) -> np.ndarray:
        """(C, SIZE, SIZE) float32 in [0, 1]."""
        noise = np.random.default_rng([int(str(case.image)), 1]).random((self.channels, SIZE, SIZE))
        image = 0.2 + 0.5 * self.read_mask(case) + 0.2 * noise + self.shift
        return image.astype(np.float32)

    def read_mask(self, case: Case) -> np.ndarray:
        """(SIZE, SIZE) uint8, 1 in a disc."""
        rng = np.random.default_rng([int(str(case.mask)), 0])
        y, x, radius = rng.integers(8, 20, 3) + (4, 4, -3)
        rows, columns = np.mgrid[:SIZE, :SIZE]
        return ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype(np.uint8)

    def read_instances(self, case: Case) -> None:
        """There is one disc alone."""

    def read_field_of_view(self, case: Case) -> None:
        """All pixels count."""

    def describe(self, case: Case) -> str:
        """How the image comes about."""
        return "generated grey"


def make_data(train: int = 4, val: int = 2, test: int = 2, shift: float = 0.0) -> Data:
    """Discs with a split of so many cases."""
    ids = [f"case{number}" for number in range(train + val + test)]
    cases = tuple(Case(name, number, number) for number, name in enumerate(ids))
    first = train + val
    split = Split(train=tuple(ids[:train]), val=tuple(ids[train:first]), test=tuple(ids[first:]))
    return Data(Discs(cases, shift=shift), split, (SIZE, SIZE))


@pytest.fixture
def discs() -> Callable[..., Data]:
    """Makes data: ``discs(train=4, val=2, test=2, shift=0.0)``."""
    return make_data


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
