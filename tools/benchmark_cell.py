"""Passes of the relaxed cell network against the same network edge by edge.

    python tools/benchmark_cell.py --sizes 64 128 --normalisations group batch --repeats 5

All run in turns on one thread, with the same weights. For each pass: the process time of the plain
network, of the stages in plain torch, and of the stages by compiled kernels where numba is there,
in milliseconds (medians), and how many times the first is each of the others; the operations of
torch that each dispatches, which kernels are not; and the largest sum of tensors that each holds at
a time, beyond its weights, in MB.

Passes: forward (no gradients); all (gradients of weights and architecture parameters, as in the
discriminator's step); alpha (weights frozen, as in finite differences); input (weights and
architecture parameters frozen, as in the segmenter's step).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from plain_cell import PlainSupernet
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from search_spaces.cell import CellSupernet
from search_spaces.kernel_choice import Kernels, choose_kernels

Pass = Callable[[], None]


FREE = {
    getattr(torch.ops.aten, name)
    for name in ("empty", "empty_like", "new_empty", "_unsafe_view", "detach", "empty_strided")
}


class Counter(TorchDispatchMode):
    """Counts operations that compute something: not views, nor what only asks for memory."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, _: Any, given: Any = (), named: Any = None) -> Any:
        self.count += not operation.is_view and operation.overloadpacket not in FREE
        return operation(*given, **(named or {}))


def main() -> None:
    """Print a line for each pass of each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--normalisations", nargs="+", default=["group", "batch"])
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--layout", default="NRNRNRN")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    paths: list[Kernels] = ["torch"]
    if find_spec("numba") is not None:
        paths.append("compiled")
    print(f"normalisation size pass: ms of plain, {', '.join(paths)}; ratios | operations | MB")
    for normalisation in options.normalisations:
        for size in options.sizes:
            torch.manual_seed(0)
            stages = CellSupernet(
                4, channels=options.channels, layout=options.layout, normalisation=normalisation
            )
            images = torch.rand(options.batch, 4, size, size)
            plain_passes = passes(PlainSupernet(stages), images)
            for name, each in passes(stages, images).items():
                every = [plain_passes[name], *(by(path, each) for path in paths)]
                times = milliseconds(every, options.repeats)
                ratios = " ".join(f"{times[0] / spent:.2f}" for spent in times[1:])
                operations = " ".join(str(count(one)) for one in every)
                memory = " ".join(f"{megabytes(one):.0f}" for one in every)
                spent = " ".join(f"{each:.0f}" for each in times)
                print(
                    f"{normalisation} {size} {name}: {spent}; {ratios} | {operations} | {memory}",
                    flush=True,
                )


def by(path: Kernels, one: Pass) -> Pass:
    """The pass on a path."""

    def run() -> None:
        choose_kernels(path)
        one()

    return run


def passes(network: CellSupernet | PlainSupernet, images: Tensor) -> dict[str, Pass]:
    """The passes of a network on images, by name."""
    alphas = list(network.alpha.parameters())
    seen = images.clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            network(images)

    return {
        "forward": forward,
        "all": lambda: slopes(network, images, list(network.parameters())),
        "alpha": lambda: slopes(network, images, alphas),
        "input": lambda: slopes(network, seen, [seen]),
    }


def slopes(network: nn.Module, images: Tensor, inputs: Sequence[Tensor]) -> None:
    """Gradients with respect to the inputs, all other parameters frozen."""
    wanted = {id(each) for each in inputs}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in wanted)
    torch.autograd.grad(network(images).sum(), inputs)


def milliseconds(every: Sequence[Pass], repeats: int) -> list[float]:
    """Median process time of each, taken in turns, after a first round."""
    times: list[list[float]] = [[] for _ in every]
    for _ in range(repeats + 1):
        for each, spent in zip(every, times, strict=True):
            started = time.process_time()
            each()
            spent.append(1e3 * (time.process_time() - started))
    return [median(spent[1:]) for spent in times]


def count(one: Pass) -> int:
    """Operations that a pass dispatches."""
    with Counter() as counter:
        one()
    return counter.count


def megabytes(one: Pass) -> float:
    """Largest sum of the tensors that a pass holds at a time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        one()
    held = largest = 0
    for event in sorted(record.profiler.kineto_results.events(), key=lambda each: each.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            largest = max(largest, held)
    return largest / 1e6


if __name__ == "__main__":
    main()
