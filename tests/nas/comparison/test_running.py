"""Cells on an engine of the test's own: what runs, what is kept, what remains."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from nas.comparison.cells import Cell, cells_of
from nas.comparison.results import read_outcome
from nas.comparison.running import Progress, expected, pending, remaining_seconds, run
from nas.engines import Job, Outcome
from nas.errors import RunError


class Played:
    """An engine that runs nothing; exit codes and reasons are by the last part of the name."""

    slots = 2

    def __init__(self, codes: dict[str, int], until: int = 100) -> None:
        self.codes = codes
        self.until = until
        self.ran: list[str] = []
        self.closed = False

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome]:
        try:
            for job in jobs:
                if len(self.ran) == self.until:
                    raise KeyboardInterrupt
                self.ran.append(job.name)
                code = self.codes.get(job.name.rpartition("/")[2], 0)
                yield Outcome(
                    job=job,
                    exit_code=code,
                    reason="It is so." if code else None,
                    seconds=10.0,
                    peak_memory=7,
                    retried=False,
                )
        finally:
            self.closed = True


def compare(made: Any, engine: Played, retry_failed: bool = False) -> list[Progress]:
    cells = cells_of(made.recipe)
    told: list[Progress] = []
    left = pending(cells, made.out, retry_failed)
    run(made.recipe, cells, left, made.out, engine, told.append)
    return told


def test_a_failing_cell_is_kept_with_its_reason_and_the_rest_goes_on(
    bench: Callable[..., Any],
) -> None:
    made = bench(seeds=[0])
    engine = Played({"random-00": 5})
    told = compare(made, engine)
    assert [each.done for each in told] == [1, 2, 3, 4, 5]
    assert all(each.total == 5 for each in told)
    assert told[0].remaining == 4 * 10 / 2
    assert told[-1].remaining == 0
    outcome = read_outcome(told[2].cell.folder(made.out))
    assert outcome is not None
    assert (outcome.exit_code, outcome.reason, outcome.peak_memory) == (5, "It is so.", 7)


def test_what_has_ended_does_not_run_again_unless_asked(bench: Callable[..., Any]) -> None:
    made = bench(seeds=[0])
    compare(made, Played({"random-00": 5}))
    again = Played({})
    assert compare(made, again) == []
    assert again.ran == []
    again = Played({})
    (only,) = compare(made, again, retry_failed=True)
    assert (only.cell.draw, only.done) == (0, 5)
    outcome = read_outcome(only.cell.folder(made.out))
    assert outcome is not None
    assert outcome.exit_code == 0


def test_an_interrupted_comparison_closes_its_engine_and_goes_on(
    bench: Callable[..., Any],
) -> None:
    made = bench(seeds=[0])
    first = Played({}, until=2)
    with pytest.raises(KeyboardInterrupt):
        compare(made, first)
    assert first.closed
    second = Played({})
    compare(made, second)
    assert first.ran + second.ran == [cell.name for cell in cells_of(made.recipe)]


@pytest.mark.parametrize("code", [130, 143, -15])
def test_a_cell_that_somebody_stopped_has_not_failed(code: int, bench: Callable[..., Any]) -> None:
    made = bench(seeds=[0])
    compare(made, Played({"search": code}))
    assert [cell.method for cell in pending(cells_of(made.recipe), made.out, False)] == ["search"]


def test_each_process_is_told_its_folder(bench: Callable[..., Any]) -> None:
    made = bench(seeds=[0], methods=["none"])
    jobs: list[Job] = []

    class Keeping(Played):
        def run(self, jobs_given: Iterable[Job]) -> Generator[Outcome]:
            kept = list(jobs_given)
            jobs.extend(kept)
            return super().run(kept)

    compare(made, Keeping({}))
    (job,) = jobs
    assert job.command[1:] == ("-m", "nas.cli.compare_cell", "{folder}")
    assert job.folder == made.out / "cells/mine/unet-width-2/seed0/none"
    assert (job.folder / "cell.json").exists()


def test_a_damaged_outcome_is_told(bench: Callable[..., Any]) -> None:
    made = bench(seeds=[0])
    cell = cells_of(made.recipe)[0]
    cell.folder(made.out).mkdir(parents=True)
    (cell.folder(made.out) / "outcome.json").write_text("{")
    with pytest.raises(RunError, match="delete it to run the cell"):
        pending(cells_of(made.recipe), made.out, False)


def test_durations_are_those_of_the_most_similar_cells() -> None:
    known = [
        (Cell("a", "unet", "none", None, 0), 10.0),
        (Cell("a", "fcn", "none", None, 0), 30.0),
        (Cell("a", "fcn", "search", None, 0), 80.0),
    ]
    assert expected(Cell("a", "unet", "none", None, 1), known) == 10
    assert expected(Cell("b", "unet", "none", None, 0), known) == 20
    assert expected(Cell("a", "unet", "vgg16", None, 0), known) == 40
    left = [Cell("a", "unet", "none", None, seed) for seed in range(3)]
    assert remaining_seconds(left, known, 2) == 15
    assert remaining_seconds(left, known, 8) == 10
    assert remaining_seconds(left, [], 8) is None


def test_paths_of_cells_are_below_the_comparison(tmp_path: Path) -> None:
    cell = Cell("a", "unet", "random:2", 1, 3)
    assert cell.folder(tmp_path) == tmp_path / "cells/a/unet/seed3/random-01"
