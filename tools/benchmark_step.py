"""The search step of `nas.bilevel` beside the plain one: time, memory, passes, operations.

    python tools/benchmark_step.py --threads 1 --out experiments/performance/grid.md
    python tools/benchmark_step.py --px 64 --backbones unet?width=16 --batches 2 --orders second
    python tools/benchmark_step.py --quick

For each cell of the grid, both sides take steps in turn in one process, from the same weights on
the same batches; a ratio is that of their medians. Times are those of the process on a CPU and of
the clock on a GPU. The peak of the memory is taken in fresh processes, one for each side: what a
step adds to the process with its libraries on a CPU, what torch has allocated on a GPU. A pass
forward is one of the whole network, a pass backward one that a gradient comes back through. The
shares are of the machine's own matrix product and copy. A cell that exceeds a limit is listed with
the reason.
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
from machine_rates import Rates, Work, machine_rates, seconds
from plain_cell import PlainSupernet
from plain_step import PlainSearch, alphas, weights_of
from torch import Tensor, nn
from torch.optim import Adam

from nas.bilevel import Bilevel, Group, Player, UnrolledStep
from nas.data.batches import Batch
from nas.devices import resolve_device
from nas.games.adversarial import Pressure
from nas.games.truth_prediction import TruthAgainstPrediction
from nas.networks import build_segmenter
from nas.products import finite_difference
from search_spaces.cell import CellSupernet

CLASSES, CHANNELS = 4, 1
RATE, ARCHITECTURE_RATE, PRESSURE = 1e-4, 1e-4, 0.01
SIDES = ("plain", "engine")
ORDERS = ("first", "second")
COLUMNS = (
    "px",
    "backbone",
    "batch",
    "order",
    "plain s",
    "engine s",
    "ratio",
    "plain MB",
    "engine MB",
    "memory ratio",
    "plain S",
    "engine S",
    "plain D",
    "engine D",
    "plain operations",
    "engine operations",
    "plain product share",
    "engine product share",
    "plain copy share",
    "engine copy share",
)


@dataclass(frozen=True)
class Cell:
    """One point of the grid."""

    px: int
    backbone: str
    batch: int
    order: str
    channels: int = 16
    layout: str = "NRNRNRN"


Step = Callable[[], object]


def new_step(cell: Cell, side: str, device: torch.device) -> tuple[TruthAgainstPrediction, Step]:
    """The networks of one side, and what takes a step with them."""
    torch.manual_seed(0)
    supernet = CellSupernet(CLASSES, channels=cell.channels, layout=cell.layout)
    segmenter = build_segmenter(cell.backbone, CHANNELS, CLASSES)
    judge = PlainSupernet(supernet) if side == "plain" else supernet
    game = TruthAgainstPrediction(
        segmenter.to(device), judge.to(device), CLASSES, Pressure(PRESSURE)
    )
    train, validation = (draw_batch(cell, seed, device) for seed in (1, 2))
    search = {"plain": plain_search, "engine": engine_search}[side](game, cell.order == "second")
    return game, lambda: search(train, validation)


def plain_search(game: TruthAgainstPrediction, second_order: bool) -> Callable[..., object]:
    """The step of the reference."""
    theta, phi = weights_of(game)
    optimizers = Adam(theta, RATE), Adam(phi, RATE), Adam(alphas(game), ARCHITECTURE_RATE)
    return PlainSearch(game, optimizers, RATE, second_order=second_order).step


def engine_search(game: TruthAgainstPrediction, second_order: bool) -> Callable[..., object]:
    """The step of a search, as `nas.phases` sets it up."""
    supernet: Any = game.discriminator

    def player(name: str, weights: list[nn.Parameter], loss: Any, shows: Any) -> Player[Batch]:
        unrolled = UnrolledStep(RATE if second_order else 0.0)
        optimizer = Adam(weights, RATE)
        return Player(name, weights, loss, optimizer, unrolled, finite_difference(), shows=shows)

    theta, searched = list(game.segmenter.parameters()), supernet.alphas()
    group = Group(
        "alpha", searched, game.discriminator_objective, Adam(searched, ARCHITECTURE_RATE)
    )
    engine = Bilevel(
        [
            player("segmenter", theta, game.segmenter_loss, game.shown),
            player("discriminator", supernet.weights(), game.discriminator_loss, None),
        ],
        [group],
        [game.segmenter, supernet],
    )

    def step(train: Batch, validation: Batch) -> None:
        engine.update_architecture(group, train, validation)
        engine.update_weights(train)

    return step


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


def measure_times(cell: Cell, device: torch.device, steps: int) -> dict[str, Any]:
    """Passes, work and times of both sides, in turn in this process."""
    figures: dict[str, Any] = {}
    takers: dict[str, Step] = {}
    for side in SIDES:
        game, takers[side] = new_step(cell, side, device)
        with (
            counted_passes(game.segmenter) as segmenter,
            counted_passes(game.discriminator) as discriminator,
            Work() as work,
        ):
            takers[side]()
        figures[side] = {
            "S": segmenter,
            "D": discriminator,
            "operations": work.operations.total(),
            "flops": work.flops,
            "bytes": work.bytes,
            "seconds": [],
        }
    for _ in range(steps):
        for side in SIDES:
            figures[side]["seconds"].append(seconds(takers[side], device))
    return figures


def measure_memory(cell: Cell, side: str, device: torch.device) -> dict[str, float]:
    """Peak of two steps (the second has optimisers with a memory) in MB, and their time."""
    before = _status("VmRSS")
    _, step = new_step(cell, side, device)
    begin = time.perf_counter()
    for _ in range(2):
        step()
    took = (time.perf_counter() - begin) / 2
    if device.type == "cuda":
        return {"megabytes": torch.cuda.max_memory_allocated(device) / 2**20, "seconds": took}
    return {"megabytes": _status("VmHWM") - before, "seconds": took}


def _status(name: str) -> float:
    """A line of the process' status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


class NotRun(Exception):
    """A cell is too large, with the reason."""


def in_fresh_process(
    cell: Cell, what: str, arguments: argparse.Namespace, limit: float
) -> dict[str, Any]:
    """The figures of a cell, measured by this script in a process of its own.

    Raises:
        NotRun: it takes too long, or too much memory.
    """
    command = [sys.executable, __file__, "--child", what, json.dumps(dataclasses.asdict(cell))]
    command += ["--threads", str(arguments.threads), "--device", arguments.device]
    command += ["--steps", str(arguments.steps), "--memory-gb", str(arguments.memory_gb)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, limit))
    except subprocess.TimeoutExpired as error:
        raise NotRun(f"{what}: not done in {limit:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended by {done.returncode}"])[-1]
        raise NotRun(f"{what}: {last[:120]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def run_child(arguments: argparse.Namespace) -> None:
    """Measure one cell and print its figures."""
    what, cell = arguments.child[0], Cell(**json.loads(arguments.child[1]))
    device = resolve_device(arguments.device)
    if device.type == "cpu":
        limit_memory(arguments.memory_gb)
    if what == "times":
        print(json.dumps(measure_times(cell, device, arguments.steps)))
    else:
        print(json.dumps(measure_memory(cell, what, device)))


def limit_memory(gigabytes: float) -> None:
    """Let allocations of this process fail beyond so much, rather than the machine."""
    import resource

    size = int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def measure(cell: Cell, arguments: argparse.Namespace, deadline: float) -> dict[str, Any]:
    """All figures of a cell.

    Raises:
        NotRun: it would not fit.
    """

    def left() -> float:
        rest = deadline - time.monotonic()
        if rest <= 0:
            raise NotRun(f"the {arguments.minutes:g} minutes are over")
        return min(rest, arguments.cell_seconds)

    memory = {side: in_fresh_process(cell, side, arguments, left()) for side in SIDES}
    ahead = sum(figures["seconds"] for figures in memory.values()) * (arguments.steps + 1.5)
    if ahead > left():
        raise NotRun(f"timing would take {ahead:.0f} s, and {left():.0f} s are left for it")
    times = in_fresh_process(cell, "times", arguments, left())
    return {side: memory[side] | times[side] for side in SIDES}


def row(cell: Cell, figures: Mapping[str, Any], rates: Rates) -> dict[str, str]:
    """A line of the table."""
    told = {
        "px": str(cell.px),
        "backbone": cell.backbone,
        "batch": str(cell.batch),
        "order": cell.order,
    }
    median = {side: statistics.median(figures[side]["seconds"]) for side in SIDES}
    for side in SIDES:
        own = figures[side]
        told |= {
            f"{side} s": f"{median[side]:.3g}",
            f"{side} MB": f"{own['megabytes']:.0f}",
            f"{side} S": "/".join(map(str, own["S"])),
            f"{side} D": "/".join(map(str, own["D"])),
            f"{side} operations": str(own["operations"]),
            f"{side} product share": f"{own['flops'] / median[side] / rates.flops:.0%}",
            f"{side} copy share": f"{own['bytes'] / median[side] / rates.bytes:.0%}",
        }
    memory = [figures[side]["megabytes"] for side in SIDES]
    told["ratio"] = f"{median['plain'] / median['engine']:.2f}"
    told["memory ratio"] = f"{memory[0] / memory[1]:.2f}"
    return {column: told[column] for column in COLUMNS}


def markdown(rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> str:
    """The table, and what was not run below it."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    lines += ["| " + " | ".join(each.values()) + " |" for each in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def write(path: Path, rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> None:
    """The table, as CSV where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".csv":
        path.write_text(markdown(rows, notes))
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


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
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=600.0, help="for the whole grid")
    parser.add_argument("--cell-seconds", type=float, default=1800.0, help="for each measurement")
    parser.add_argument("--memory-gb", type=float, default=64.0, help="for each process on a CPU")
    parser.add_argument("--quick", action="store_true", help="a tiny grid, in seconds")
    parser.add_argument("--out", type=Path, help="Markdown, or CSV by the suffix")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.px, arguments.backbones, arguments.batches = [32], ["unet?width=4&depth=2"], [2]
        arguments.channels, arguments.layout, arguments.steps = 4, "R", 2
    if arguments.px is None:
        cuda = resolve_device(arguments.device).type == "cuda"
        arguments.px = [256, 512] if cuda else [64, 128, 256]
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
    rows, notes = [], [head]
    grid = itertools.product(arguments.px, arguments.batches, arguments.backbones, arguments.orders)
    for px, batch, backbone, order in grid:
        cell = Cell(px, backbone, batch, order, arguments.channels, arguments.layout)
        try:
            rows.append(row(cell, measure(cell, arguments, deadline), rates))
            print(" | ".join(rows[-1].values()), flush=True)
        except NotRun as reason:
            notes.append(f"{px} px, {backbone}, batch {batch}, {order} order: not run, {reason}")
            print(notes[-1], flush=True)
        if arguments.out:
            write(arguments.out, rows, notes)
    print(markdown(rows, notes))


if __name__ == "__main__":
    main()
