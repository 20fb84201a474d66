"""Simulate how long cells take on a cluster whose nodes fail, with the engines' rule for starting.

    python tools/simulate_schedule.py --cells 1000 --nodes 16 --slots 4 --minutes 20

It is an event simulation around `nas.engines.schedule.Schedule`, which the engines ray and slurm
use. It assumes: durations of cells are log-normal with the mean and spread (standard deviation over
mean) that are given, and independent of how many run; each start costs the same; nodes fail
independently at exponential times and come back empty after a fixed time; a loss is noticed at
once; a cell whose node is lost goes on from its last checkpoint where folders are shared, else from
the beginning; the machine that gives the jobs does not fail, and moving folders takes no time.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal, NamedTuple

from nas.engines.schedule import LOSSES, Schedule, Ticket

Kind = Literal["end", "fail", "repair"]


class Assumptions(NamedTuple):
    """Of a simulation; all times in minutes.

    Attributes:
        nodes: of the cluster.
        slots: cells that run on each at a time.
        start: from the start of a job to its first step.
        lost_every: mean time between failures of a node; infinite for none.
        repair: until a node that failed is back.
        checkpoint: time between checkpoints that outlive a node; infinite where none do.
        losses: how often a cell may be lost before it is given up.
    """

    nodes: int
    slots: int
    start: float = 0.0
    lost_every: float = math.inf
    repair: float = 10.0
    checkpoint: float = math.inf
    losses: int = LOSSES


class Result(NamedTuple):
    """Of a simulation.

    Attributes:
        makespan: minutes until the last cell has ended.
        idle: part of the slot-minutes until then, of nodes that were up, on which nothing ran.
        retries: starts beyond the first of each cell.
        repeated: minutes of work that were done and lost.
        given_up: cells.
    """

    makespan: float
    idle: float
    retries: float
    repeated: float
    given_up: float


@dataclass
class Cell:
    """One job: the minutes that it takes, and those that are done and saved."""

    minutes: float
    done: float = 0.0


@dataclass
class _Run:
    """A cell on a node."""

    ticket: Ticket[Cell]
    node: int
    began: float
    is_over: bool = False


@dataclass
class Simulation:
    """A cluster that works through cells."""

    assumptions: Assumptions
    cells: list[Cell]
    failures: random.Random
    now: float = 0.0
    retries: int = 0
    repeated: float = 0.0
    given_up: int = 0
    busy: float = 0.0
    offered: float = 0.0
    _events: list[tuple[float, int, Kind, _Run | int]] = field(default_factory=list)
    _running: list[_Run] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self._schedule = Schedule(self.cells, self.assumptions.losses)
        self._up = set(range(self.assumptions.nodes))

    def run(self) -> Result:
        """Work until all cells have ended or were given up."""
        for node in sorted(self._up):
            self._fail_later(node)
        self._fill()
        last = 0.0
        while self._running or not self._up:
            time, _, kind, what = heapq.heappop(self._events)
            self._pass_until(time)
            if self._happen(kind, what):
                last = time
            self._fill()
        idle = 1.0 - self.busy / self.offered if self.offered else 0.0
        return Result(last, idle, self.retries, self.repeated, self.given_up)

    def _happen(self, kind: Kind, what: _Run | int) -> bool:
        """Whether something that ran does not run any more."""
        if isinstance(what, _Run):
            if what.is_over:
                return False
            self._end(what)
            return True
        if kind == "fail":
            return self._fail(what)
        self._up.add(what)
        self._fail_later(what)
        return False

    def _pass_until(self, time: float) -> None:
        passed = time - self.now
        self.busy += passed * len(self._running)
        self.offered += passed * len(self._up) * self.assumptions.slots
        self.now = time

    def _fill(self) -> None:
        """Start what the engines would start, each on the emptiest node."""
        while self._up:
            ticket = self._schedule.start(len(self._up) * self.assumptions.slots)
            if ticket is None:
                return
            self._start(ticket, min(sorted(self._up), key=self._load))

    def _load(self, node: int) -> int:
        return sum(run.node == node for run in self._running)

    def _start(self, ticket: Ticket[Cell], node: int) -> None:
        self.retries += ticket.retried
        run = _Run(ticket, node, self.now)
        self._running.append(run)
        left = ticket.work.minutes - ticket.work.done
        self._later(self.assumptions.start + left, "end", run)

    def _end(self, run: _Run) -> None:
        run.is_over = True
        self._running.remove(run)
        self._schedule.ended()

    def _fail(self, node: int) -> bool:
        self._up.discard(node)
        self._later(self.assumptions.repair, "repair", node)
        hit = [each for each in self._running if each.node == node]
        for run in hit:
            run.is_over = True
            self._running.remove(run)
            self._lose(run)
        return bool(hit)

    def _lose(self, run: _Run) -> None:
        cell = run.ticket.work
        worked = max(0.0, self.now - run.began - self.assumptions.start)
        every = self.assumptions.checkpoint
        saved = 0.0 if math.isinf(every) else math.floor((cell.done + worked) / every) * every
        saved = max(cell.done, saved)
        self.repeated += cell.done + worked - saved
        cell.done = saved
        self.given_up += not self._schedule.lost(run.ticket)

    def _fail_later(self, node: int) -> None:
        if not math.isinf(self.assumptions.lost_every):
            self._later(self.failures.expovariate(1 / self.assumptions.lost_every), "fail", node)

    def _later(self, after: float, kind: Kind, what: _Run | int) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + after, self._count, kind, what))


def draw(count: int, mean: float, spread: float, rng: random.Random) -> list[Cell]:
    """Cells with log-normal durations.

    Args:
        count: of cells.
        mean: duration, minutes.
        spread: standard deviation over mean.
        rng: of the draws.
    """
    sigma = math.sqrt(math.log1p(spread**2))
    middle = math.log(mean) - sigma**2 / 2
    return [Cell(rng.lognormvariate(middle, sigma)) for _ in range(count)]


def main() -> None:
    """Print one line of a table for each number of cells, means over the repeats."""
    options = _options()
    assumptions = Assumptions(
        options.nodes,
        options.slots,
        options.start,
        options.lost_every * 60,
        options.repair,
        options.checkpoint,
    )
    print("| cells | hours | if never idle | idle | retries | repeated hours | given up |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for count in options.cells:
        print(_row(count, assumptions, options))


def _row(count: int, assumptions: Assumptions, options: argparse.Namespace) -> str:
    """Means over repeated simulations, each with durations and failures of its own."""
    found, ideal = [], []
    for repeat in range(options.repeats):
        seed = options.seed + repeat
        cells = draw(count, options.minutes, options.spread, random.Random(f"{seed} cells"))
        total = sum(cell.minutes + options.start for cell in cells)
        ideal.append(total / min(count, options.nodes * options.slots))
        failures = random.Random(f"{seed} failures")
        found.append(Simulation(assumptions, cells, failures).run())
    mean = Result(*(fmean(values) for values in zip(*found, strict=True)))
    return (
        f"| {count} | {mean.makespan / 60:.2f} | {fmean(ideal) / 60:.2f} | {mean.idle:.1%} | "
        f"{mean.retries:.1f} | {mean.repeated / 60:.2f} | {mean.given_up:.1f} |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cells", type=int, nargs="+", default=[1, 8, 1000])
    add("--nodes", type=int, default=16)
    add("--slots", type=int, default=4, help="cells at a time on each node")
    add("--minutes", type=float, default=20.0, help="mean duration of a cell")
    add("--spread", type=float, default=0.5, help="standard deviation over mean of durations")
    add("--start", type=float, default=0.2, help="minutes from a job's start to its first step")
    add("--lost-every", type=float, default=math.inf, help="hours between failures of a node")
    add("--repair", type=float, default=10.0, help="minutes until a node is back")
    add("--checkpoint", type=float, default=math.inf, help="minutes between saved states")
    add("--seed", type=int, default=0)
    add("--repeats", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
