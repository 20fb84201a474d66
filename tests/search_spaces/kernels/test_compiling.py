"""Kernels are kept on disk, and tasks are shared."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels.compiling import compiled, in_threads
from search_spaces.kernels.kept import folder


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    folder.cache_clear()
    yield
    folder.cache_clear()


def double(x):  # type: ignore[no-untyped-def]
    return 2 * x


def test_kernels_are_kept_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert compiled(double)(4) == 8
    assert list(folder().rglob("*.nbi"))
    assert folder().is_relative_to(tmp_path)


@pytest.mark.parametrize("tasks", [0, 1, 2, 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_each_task_is_done_once(tasks: int, threads: int) -> None:
    done: list[int] = []
    in_threads(lambda all, begin, end: all.extend(range(begin, end)), (done,), [], tasks, threads)
    assert sorted(done) == list(range(tasks))


def test_what_fails_in_a_thread_fails_here() -> None:
    def fail(begin: int, end: int) -> None:
        raise RuntimeError(f"{begin} to {end}")

    with pytest.raises(RuntimeError, match="to"):
        in_threads(fail, (), [], 4, 2)


def test_callers_do_not_wait_for_each_other() -> None:
    """All shares of both meet, which takes as many threads as there are shares."""
    meeting = threading.Barrier(4)

    def meet(begin: int, end: int) -> None:
        meeting.wait(timeout=60)

    with ThreadPoolExecutor(2) as callers:
        for each in [callers.submit(in_threads, meet, (), [], 2, 2) for _ in range(2)]:
            each.result()


def test_the_next_process_compiles_nothing(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from search_spaces.kernels import mixtures\n"
        "from search_spaces.kernels.norms import ONE\n"
        "y, rows = np.zeros((1, 1, 1, 1, 16)), np.zeros((1, 1, 16))\n"
        "mixtures.mixture(y, rows, rows[0], ONE, 1)\n"
        "print(sum(mixtures._mixture.stats.cache_misses.values()))\n"
    )
    missed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert missed == ["1", "0"]
