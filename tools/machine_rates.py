"""What this machine can do at best, and how much work operations are.

A convolution's or a matrix product's floating-point operations are counted from its shapes, a
multiplication and an addition as two; those of every other operation are left out. Traffic is the
size of what an operation reads and writes, each tensor once, views not counted.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten


@dataclass(frozen=True)
class Rates:
    """Floating-point operations and bytes per second, in float32."""

    flops: float
    bytes: float


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of the process on a CPU, where others may be at work; of the clock on a GPU."""
    if device.type == "cuda":
        return clock_seconds(work, device)
    begin = time.process_time()
    work()
    return time.process_time() - begin


def clock_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of the clock, for work of several threads, or on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def machine_rates(device: torch.device, quick: bool = False) -> Rates:
    """Those of a large matrix product, and of a copy that no cache holds."""
    side = 256 if quick else 1024 if device.type == "cpu" else 8192
    count = 2**22 if quick else 2**26 if device.type == "cpu" else 2**30
    a, b = (torch.rand(side, side, device=device) for _ in range(2))
    source = torch.rand(count, device=device)
    target = torch.zeros_like(source)

    def fastest(work: Callable[[], object]) -> float:
        return statistics.median(sorted(seconds(work, device) for _ in range(7))[:3])

    return Rates(
        2 * side**3 / fastest(lambda: a @ b), 2 * 4 * count / fastest(lambda: target.copy_(source))
    )


@dataclass
class Work(TorchDispatchMode):
    """Counts what is dispatched in its context.

    Attributes:
        operations: how often each was dispatched, by name.
        flops: of convolutions and matrix products.
        bytes: read and written.
    """

    operations: Counter[str] = field(default_factory=Counter)
    flops: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations[func.name()] += 1
        self.flops += flops_of(func, args, result)
        if not func.is_view:
            self.bytes += sum(map(_bytes, _tensors((args, kwargs, result))))
        return result


def flops_of(operation: Any, args: tuple[Any, ...], result: Any) -> int:
    """Of a convolution, its gradients, or a matrix product; 0 of others."""
    packet = operation.overloadpacket
    if packet in (aten.mm, aten.bmm):
        return 2 * math.prod(result.shape) * args[0].shape[-1]
    if packet in (aten.addmm, aten.baddbmm):
        return 2 * math.prod(result.shape) * args[1].shape[-1]
    if packet in (aten.convolution, aten._convolution):
        return _flops_of_convolution(args[0], args[1], result, transposed=args[6])
    if packet == aten.convolution_backward:
        slope, x, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
        return sum(wanted[:2]) * _flops_of_convolution(x, weight, slope, transposed)
    return 0


def _flops_of_convolution(x: Tensor, weight: Tensor, output: Tensor, transposed: bool) -> int:
    """Each entry of the weight (C_out, C_in / groups, ...) meets each position of the output.

    Of a transposed one (C_in, C_out / groups, ...), each position of the input.
    """
    positions = x if transposed else output
    return 2 * weight.numel() * positions.shape[0] * math.prod(positions.shape[2:])


def _tensors(tree: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
