"""The search step of `nas.bilevel` beside the plain one: time, memory, passes, launches.

    python tools/benchmark_step.py --threads 1 --out experiments/performance/grid.md
    python tools/benchmark_step.py --px 64 256 --steps 5 1 --backbones unet?width=16 --batches 2
    python tools/benchmark_step.py --quick

For each cell of the grid, the sides take steps in turn in one process, from the same weights on
the same batches, behind one step that is not timed, on a CPU with images of 64 px; a ratio is that
of the plain side's median to the engine's. Times are those of the process on a CPU; on a GPU, and
with several threads, of the clock. These threads are torch's, within operations; the side "streams"
replays in as many streams, each with one.

What a step is made of, and the peak of its memory, are taken from one step in a fresh process for
each side, whose optimisers already hold their moments: what the networks and the step add to the
process with its libraries on a CPU, what torch has reserved on a GPU; and, whatever the machine,
what tensors hold, from which the rest of a process differs by its allocator and by what single
operations need. A pass forward is one of the
whole network, a pass backward one that a gradient comes back through. Launches are operations that
a GPU is given a kernel for, of the engine those of its step in torch, since compiled kernels are
for CPUs; what several streams dispatch is not counted. The shares are of the machine's own matrix
product and copy, by what the step's operations of torch multiply, read and write; compiled kernels
read and write less.

The table in --out grows cell by cell; cells that stand in it are not measured again, so a grid
that was stopped goes on. A cell that exceeds a limit is listed with the reason. Where a step cannot
be captured (on a GPU if it draws random numbers, as the dropout of FCN-32s does), nothing stands in
these columns.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from launches import Launches
from live_memory import LiveMemory
from machine_rates import Rates, Work, clock_seconds, machine_rates, seconds
from plain_cell import PlainSupernet
from plain_step import PlainSearch, alphas, weights_of
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.budget.memory import peak_bytes, present_bytes
from nas.captured import Captured, recorder_on
from nas.data.batches import Batch
from nas.devices import placed, resolve_device
from nas.errors import UsageError
from nas.games.adversarial import Pressure
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.networks import build_segmenter
from nas.products import finite_difference
from nas.replay.recordings import Recordings
from search_spaces.cell import CellSupernet
from search_spaces.kernel_choice import choose_kernels

CLASSES, CHANNELS = 4, 1
SMALL = 64
"""Pixels of steps on a CPU that are not timed."""
RATE, ARCHITECTURE_RATE, PRESSURE = 1e-4, 1e-4, 0.01
PLAIN, CAPTURED, STREAMS = "plain", "captured", "streams"
REPLAYED = (CAPTURED, STREAMS)
SIDES = (PLAIN, "engine", *REPLAYED)
CAPTURED_AFTER = 1
"""Steps before one is captured; the second one behind these is compared, the others are replays."""
ORDERS = ("first", "second")
PLACES = ("px", "backbone", "batch", "order", "channels", "layout")
FIGURES = (
    "s",
    "MB",
    "tensor MB",
    "S",
    "D",
    "operations",
    "launches",
    "product share",
    "copy share",
)

COMPARED = {"ratio": "s", "memory ratio": "MB", "tensor ratio": "tensor MB"}
"""Figures of the plain side, divided by those of another one."""


def columns(sides: Sequence[str]) -> list[str]:
    """Those of the table: where a row stands, what the sides need, and how they compare."""
    others = [side for side in sides if side != PLAIN] if PLAIN in sides else []
    compared = [f"{side} {name}" for name in COMPARED for side in others]
    own = [f"{side} {figure}" for figure in FIGURES for side in sides]
    return [*PLACES, *compared, *own]


@dataclass(frozen=True)
class Cell:
    """One point of the grid."""

    px: int
    backbone: str
    batch: int
    order: str
    channels: int = 16
    layout: str = "NRNRNRN"

    def place(self) -> dict[str, str]:
        """Where it stands in the table."""
        return {name: str(getattr(self, name)) for name in PLACES}


Step = Callable[[], object]


@dataclass(frozen=True)
class Taker:
    """One side.

    Attributes:
        game: its networks.
        optimizers: of all that is trained.
        step: takes a step.
        held: bytes that replays of it lie in on a CPU.
    """

    game: TruthAgainstPrediction
    optimizers: Sequence[Optimizer]
    step: Step
    held: Callable[[], int] = int

    def bytes(self) -> int:
        """Of its networks and of what its optimisers remember."""
        networks = (self.game.segmenter, self.game.discriminator)
        tensors = [each for network in networks for each in network.state_dict().values()]
        for optimizer in self.optimizers:
            tensors += [each for state in optimizer.state.values() for each in state.values()]
        return sum(each.numel() * each.element_size() for each in tensors)

    def remember(self) -> None:
        """Let the optimisers have their moments, by a step along zeros; nothing else changes."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    weight.grad = torch.zeros_like(weight)
            optimizer.step()
            optimizer.zero_grad()


def new_taker(cell: Cell, side: str, device: torch.device) -> Taker:
    """The networks of one side, and what takes a step with them."""
    torch.manual_seed(0)
    supernet = CellSupernet(CLASSES, channels=cell.channels, layout=cell.layout)
    segmenter = build_segmenter(cell.backbone, CHANNELS, CLASSES)
    judge = PlainSupernet(supernet) if side == "plain" else supernet
    on_device = nn.Module.to if side == PLAIN else placed
    game = TruthAgainstPrediction(
        on_device(segmenter, device), on_device(judge, device), CLASSES, Pressure(PRESSURE)
    )
    train, validation = (draw_batch(cell, seed, device) for seed in (1, 2))
    second_order = cell.order == "second"
    if side == "plain":
        theta, phi = weights_of(game)
        optimizers = Adam(theta, RATE), Adam(phi, RATE), Adam(alphas(game), ARCHITECTURE_RATE)
        search = PlainSearch(game, optimizers, RATE, second_order=second_order)
        return Taker(game, optimizers, lambda: search.step(train, validation))
    engine = new_engine(game, second_order, side in REPLAYED)
    updates: Any = engine
    held: Callable[[], int] = int
    if side in REPLAYED:
        recorder = recorder_on(device, torch.get_num_threads() if side == STREAMS else 1)
        recorder.patience = min(recorder.patience, CAPTURED_AFTER)
        updates = Captured(engine, recorder)
        if isinstance(recorder, Recordings):
            held = recorder.bytes

    def step() -> None:
        updates.update_architecture(engine.groups[0], train, validation)
        updates.update_weights(train)

    return Taker(game, list(engine.optimizers().values()), step, held)


def new_engine(game: TruthAgainstPrediction, second_order: bool, captured: bool) -> Bilevel[Batch]:
    """The engine of a search, as `nas.phases` sets it up."""
    supernet: Any = game.discriminator

    def adam(weights: list[nn.Parameter], rate: float) -> Adam:
        return Adam(weights, rate, fused=True, capturable=captured)

    def player(name: str, weights: list[nn.Parameter], loss: Any, shows: Any) -> Player[Batch]:
        unrolled = UnrolledStep(RATE if second_order else 0.0)
        own = adam(weights, RATE)
        return Player(name, weights, loss, own, unrolled, finite_difference(), shows=shows)

    theta, searched = list(game.segmenter.parameters()), supernet.alphas()
    of_alpha = adam(searched, ARCHITECTURE_RATE)
    group = Group("alpha", searched, game.discriminator_objective, of_alpha)
    players = [
        player("segmenter", theta, game.segmenter_loss, game.shown),
        player("discriminator", supernet.weights(), game.discriminator_loss, None),
    ]
    return Bilevel(players, [group], [game.segmenter, supernet])


def draw_batch(cell: Cell, seed: int, device: torch.device) -> Batch:
    """Noise with labels in squares of 16 pixels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(cell.batch, CHANNELS, cell.px, cell.px, generator=generator)
    coarse = torch.randint(
        0, CLASSES, (cell.batch, cell.px // 16, cell.px // 16), generator=generator
    )
    labels = coarse.repeat_interleave(16, 1).repeat_interleave(16, 2)
    ids = tuple(str(number) for number in range(cell.batch))
    return Batch(images.to(device), labels.to(device), ids)


@contextmanager
def counted_passes(network: nn.Module) -> Iterator[list[int]]:
    """How many passes go forward through a network (and copies of it), and how many back."""
    counts = [0, 0]

    def back(slope: Tensor) -> None:
        counts[1] += 1

    def forth(module: nn.Module, inputs: object, output: Tensor) -> None:
        counts[0] += 1
        if output.requires_grad:
            output.register_hook(back)

    handle = network.register_forward_hook(forth)
    try:
        yield counts
    finally:
        handle.remove()


def measure_times(
    cell: Cell, sides: Sequence[str], device: torch.device, steps: int
) -> dict[str, list[float]]:
    """Seconds of each side's steps, taken in turn in this process."""
    takers = {side: new_taker(cell, side, device) for side in sides}
    times: dict[str, list[float]] = {side: [] for side in sides}
    timed = seconds if torch.get_num_threads() == 1 else clock_seconds
    for side in sides:
        warm_up(cell, side, takers[side], device)
    for _ in range(steps):
        for side in sides:
            times[side].append(timed(takers[side].step, device))
    return times


def warm_up(cell: Cell, side: str, taker: Taker, device: torch.device) -> None:
    """Take the steps that are not timed.

    On a CPU, where kernels and libraries are loaded whatever the size, they see small images, but
    for updates that are captured: these are the real ones.
    """
    if device.type == "cpu" and side not in REPLAYED:
        new_taker(dataclasses.replace(cell, px=min(cell.px, SMALL)), side, device).step()
        taker.remember()
        return
    for _ in range(CAPTURED_AFTER + 2 if side in REPLAYED else 1):
        taker.step()


def measure_step(cell: Cell, side: str, device: torch.device) -> dict[str, Any]:
    """Peak of the memory of one step in MB, its time, and what it is made of."""
    load_libraries(device)
    cuda = device.type == "cuda"
    before = 0 if cuda else present_bytes(device)
    taker = new_taker(cell, side, device)
    taker.remember()
    for _ in range(CAPTURED_AFTER + 2 if side in REPLAYED else 0):
        taker.step()
    begin = time.perf_counter()
    with (
        counted_passes(taker.game.segmenter) as segmenter,
        counted_passes(taker.game.discriminator) as discriminator,
        Launches() as launched,
        LiveMemory() as live,
        Work() as work,
    ):
        taker.step()
    took = time.perf_counter() - begin
    memory = (peak_bytes(device) - before) / 2**20
    whole, launches = work, launched.counts.total()
    if side != PLAIN and not cuda:
        whole, in_torch = step_in_torch(cell)
        launches = launches if side in REPLAYED else in_torch
    graphs = 2 if side in REPLAYED and cuda else 0
    counts = {"operations": work.operations.total() + graphs, "launches": launches + graphs}
    return {
        "seconds": took,
        "MB": memory,
        "tensor MB": (live.peak + taker.bytes() + taker.held()) / 2**20,
        "S": "/".join(map(str, segmenter)),
        "D": "/".join(map(str, discriminator)),
        **({} if side == STREAMS else counts),  # of one stream alone
        "flops": whole.flops,
        "bytes": whole.bytes,
    }


def step_in_torch(cell: Cell) -> tuple[Work, int]:
    """Work and launches of the engine's step without kernels, whose own cannot be counted."""
    choose_kernels("torch")
    taker = new_taker(cell, "engine", torch.device("cpu"))
    taker.remember()
    with Launches() as launched, Work() as work:
        taker.step()
    return work, launched.counts.total()


def load_libraries(device: torch.device) -> None:
    """Let torch load, in passes of a tiny network, what it loads when it is first wanted."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).to(device)
    optimizer = Adam(network.parameters())
    with Work():
        network(torch.rand(2, 1, 8, 8, device=device)).sum().backward()
        optimizer.step()


class NotRun(Exception):
    """A cell is too large, with the reason."""


def in_fresh_process(
    cell: Cell, sides: Sequence[str], steps: int, arguments: argparse.Namespace, limit: float
) -> dict[str, Any]:
    """The figures of a cell, measured by this script in a process of its own.

    Args:
        cell: of the grid.
        sides: whose times to take in turn, or one whose step to examine.
        steps: that are timed; 0 examines.
        arguments: of the command line.
        limit: seconds after which to give up.

    Raises:
        NotRun: it takes too long, or too much memory.
    """
    what = json.dumps({"cell": dataclasses.asdict(cell), "sides": sides, "steps": steps})
    command = [sys.executable, __file__, "--child", what, "--threads", str(arguments.threads)]
    command += ["--device", arguments.device, "--memory-gb", str(arguments.memory_gb)]
    told = "times" if steps else sides[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, limit))
    except subprocess.TimeoutExpired as error:
        raise NotRun(f"{told}: not done in {limit:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended by {done.returncode}"])[-1]
        raise NotRun(f"{told}: {last[:120]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def run_child(arguments: argparse.Namespace) -> None:
    """Measure one cell and print its figures."""
    told = json.loads(arguments.child)
    cell, sides, steps = Cell(**told["cell"]), told["sides"], told["steps"]
    device = resolve_device(arguments.device)
    if device.type == "cpu":
        limit_memory(arguments.memory_gb)
    examined = measure_times(cell, sides, device, steps) if steps else None
    print(json.dumps(examined or measure_step(cell, sides[0], device)))


def limit_memory(gigabytes: float) -> None:
    """Let allocations of this process fail beyond so much, rather than the machine."""
    import resource

    size = int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def measure(
    cell: Cell, steps: int, arguments: argparse.Namespace, deadline: float
) -> dict[str, dict[str, Any]]:
    """All figures of a cell, by side; without captured steps where they are refused.

    Raises:
        NotRun: it would not fit.
    """

    def left() -> float:
        rest = deadline - time.monotonic()
        if rest <= 0:
            raise NotRun(f"the {arguments.minutes:g} minutes are over")
        return min(rest, arguments.cell_seconds)

    figures = {}
    for side in arguments.sides:
        try:
            figures[side] = in_fresh_process(cell, [side], 0, arguments, left())
        except NotRun as reason:
            if side not in REPLAYED or UsageError.__name__ not in str(reason):
                raise
    ahead = sum(own["seconds"] for own in figures.values()) * steps
    if ahead > left():
        raise NotRun(f"timing would take {ahead:.0f} s, and {left():.0f} s are left for it")
    times = in_fresh_process(cell, list(figures), steps, arguments, left())
    return {side: {**own, "s": statistics.median(times[side])} for side, own in figures.items()}


def row(
    cell: Cell, figures: Mapping[str, Mapping[str, Any]], rates: Rates, sides: Sequence[str]
) -> dict[str, str]:
    """A line of the table; nothing stands where a side has no figures."""
    told = cell.place()
    for side, own in figures.items():
        counts = [name for name in ("S", "D", "operations", "launches") if name in own]
        told |= {f"{side} {name}": str(own[name]) for name in counts}
        told |= {
            f"{side} s": f"{own['s']:.3g}",
            f"{side} MB": f"{own['MB']:.4g}",
            f"{side} tensor MB": f"{own['tensor MB']:.4g}",
            f"{side} product share": share(own["flops"] / own["s"], rates.flops),
            f"{side} copy share": share(own["bytes"] / own["s"], rates.bytes),
        }
        if PLAIN in figures:
            for name, figure in COMPARED.items():
                told[f"{side} {name}"] = f"{figures[PLAIN][figure] / own[figure]:.2f}"
    return {column: told.get(column, "") for column in columns(sides)}


def share(rate: float, possible: float) -> str:
    """Of the machine's own rate, in percent; three digits, however small it is."""
    return f"{100 * rate / possible:.3g}%"


def markdown(rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> str:
    """The table, and what was not run below it."""
    lines = []
    if rows:
        lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(each.values()) + " |" for each in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def write(path: Path, rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> None:
    """The table, as CSV where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".csv":
        path.write_text(markdown(rows, notes))
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0] if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path | None, wanted: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a table that was written before, and by which commands, where it says so.

    Raises:
        UsageError: it has other columns than are wanted.
    """
    if path is None or not path.exists():
        return [], []
    lines = path.read_text().splitlines()
    if path.suffix == ".csv":
        rows = list(csv.reader(lines))
    else:
        table = (line for line in lines if line.startswith("| "))
        rows = [[each.strip() for each in line.strip("|").split("|")] for line in table]
    if rows and rows[0] != list(wanted):
        raise UsageError(f"{path} is a table with other columns: name another file by --out.")
    commands = [line[2:] for line in lines if line.startswith("- ") and "not run, " not in line]
    return [dict(zip(wanted, each, strict=True)) for each in rows[1:]], commands


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--px", type=int, nargs="+", help="default: 64 128 256; GPU: 256 512")
    parser.add_argument(
        "--backbones", nargs="+", default=["unet?width=16", "unet?width=64", "fcn32s"]
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=list(ORDERS))
    parser.add_argument("--channels", type=int, default=16, help="C of the first cell")
    parser.add_argument("--layout", default="NRNRNRN")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["plain", "engine"])
    parser.add_argument(
        "--steps", type=int, nargs="+", default=[3], help="timed ones of each side, or by --px"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=600.0, help="for the whole grid")
    parser.add_argument("--cell-seconds", type=float, default=1800.0, help="for each measurement")
    parser.add_argument("--memory-gb", type=float, default=64.0, help="for each process on a CPU")
    parser.add_argument("--quick", action="store_true", help="a tiny grid, in seconds")
    parser.add_argument("--out", type=Path, help="Markdown, or CSV by the suffix")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.px, arguments.backbones, arguments.batches = [32], ["unet?width=4&depth=2"], [2]
        arguments.channels, arguments.layout, arguments.steps = 4, "R", [2]
    cuda = resolve_device(arguments.device).type == "cuda"
    if arguments.px is None:
        arguments.px = [256, 512] if cuda else [64, 128, 256]
    if len(arguments.steps) not in (1, len(arguments.px)) or min(arguments.steps) < 1:
        parser.error("--steps takes one number from 1 on, or one for each of --px")
    return arguments


def main() -> None:
    """Measure the grid, from small to large, and print its table as it grows."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    if arguments.child:
        run_child(arguments)
        return
    device = resolve_device(arguments.device)
    rates = machine_rates(device, arguments.quick)
    head = (
        f"{' '.join(sys.argv)}: torch {torch.__version__}, {device}, "
        f"{arguments.threads} thread(s), {rates.flops / 1e9:.0f} GFLOP/s in matrix products, "
        f"{rates.bytes / 1e9:.1f} GB/s in copies"
    )
    print(head, flush=True)
    deadline = time.monotonic() + 60 * arguments.minutes
    try:
        rows, notes = read(arguments.out, columns(arguments.sides))
    except UsageError as error:
        sys.exit(f"error: {error}")
    known = [{name: each[name] for name in PLACES} for each in rows]
    notes.append(head)
    steps = dict(zip(arguments.px, arguments.steps * len(arguments.px), strict=False))
    grid = itertools.product(arguments.px, arguments.batches, arguments.backbones, arguments.orders)
    for px, batch, backbone, order in grid:
        cell = Cell(px, backbone, batch, order, arguments.channels, arguments.layout)
        if cell.place() in known:
            continue
        try:
            figures = measure(cell, steps[px], arguments, deadline)
            rows.append(row(cell, figures, rates, arguments.sides))
            print(" | ".join(rows[-1].values()), flush=True)
        except NotRun as reason:
            notes.append(f"{px} px, {backbone}, batch {batch}, {order} order: not run, {reason}")
            print(notes[-1], flush=True)
        if arguments.out:
            write(arguments.out, rows, notes)
    print(markdown(rows, notes))


if __name__ == "__main__":
    main()
