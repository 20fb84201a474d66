"""Devices, precision, and random states that are set on purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import nn

from nas.errors import UsageError
from nas.gradients import Gradient, alone
from nas.ranks import count, is_first, number, number_here, summed


def resolve_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, else the CPU.

    Of several processes each has its own CUDA device, in their order.

    Raises:
        UsageError: no such device, or it is not on this machine.
    """
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(found) if count() == 1 else resolve_device(found)
    if count() > 1 and name.startswith("cuda"):
        return _own_device(name)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"--device {name} is no device: auto, cpu, cuda or cuda:1 was expected."
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(
            f"--device {name} is not supported: auto, cpu, cuda or cuda:1 was expected."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"--device {name} is not on this machine, which has {torch.cuda.device_count()} CUDA "
            "devices that this torch can use: choose --device cpu or auto."
        )
    return device


def _own_device(name: str) -> torch.device:
    if name != "cuda":
        raise UsageError(
            f"--device {name} names one device, and each of the {count()} processes needs its own: "
            "choose --device cuda, or cpu."
        )
    if number_here() >= torch.cuda.device_count():
        raise UsageError(
            f"There are {torch.cuda.device_count()} CUDA devices that this torch can use, and more "
            "processes on this machine: lower --nproc-per-node, or choose --device cpu."
        )
    torch.cuda.set_device(number_here())
    return torch.device("cuda", number_here())


def set_threads(count: int) -> None:
    """Let torch use so many CPU threads; 0 leaves its own choice."""
    if count:
        torch.set_num_threads(count)


@contextmanager
def threads_shared(streams: int) -> Iterator[None]:
    """Let torch use as many of its CPU threads as each of so many streams can have for itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // streams))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Makes the context that passes run in: bf16 autocast, or nothing for fp32."""
    if precision == "bf16":
        return partial(torch.autocast, device.type, torch.bfloat16)
    return nullcontext


def layout_of(device: torch.device) -> torch.memory_format:
    """In which layout convolutions are fastest: on CUDA with the channels of a pixel together."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device, its weights in the layout of the device."""
    return network.to(device, memory_format=layout_of(device))  # type: ignore[call-overload]


def joined() -> Callable[[Gradient], Gradient]:
    """Adds gradients up over the processes that train together."""
    return summed if count() > 1 else alone


@contextmanager
def without_tf32() -> Iterator[None]:
    """Let CUDA multiply and convolve float32 with its full mantissa.

    By default torch lets cuDNN round the factors of convolutions to the 10 bits of TF32 (Ampere
    and newer), an error that the small differences of a finite difference drown in.
    """
    backends = torch.backends
    convolution, multiplication = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        backends.cudnn.allow_tf32 = convolution
        backends.cuda.matmul.allow_tf32 = multiplication


def derived_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose of a run, so that purposes do not share random numbers."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def seed_noise(seed: int) -> None:
    """Seed torch's generators, from which dropout draws; a resumed run overrides their state.

    Each of several processes draws other numbers for its part of a batch.
    """
    purpose = "noise" if is_first() else f"noise of process {number()}"
    torch.manual_seed(derived_seed(seed, purpose))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Draw from torch's generator of the CPU as seeded for one purpose; its state comes back after.

    Networks initialised in this context depend on the seed and the purpose alone, so that
    segmenters of one seed start equal whatever they are trained against.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, purpose))
        yield
