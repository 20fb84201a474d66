"""One training in several processes (ranks), each on its own device, as torchrun starts them.

    torchrun --nproc-per-node 4 -m nas.cli.search ...

Every rank has the same networks and sees its part of each batch (`nas.data.parts`). What is added
up over the ranks, losses and gradients, is that of the joined batch. The first rank alone writes
and prints. Where there is one process, nothing here does anything, or imports torch.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from nas.errors import TrainingError, UserError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed.distributed_c10d import Store

Value = TypeVar("Value")

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others: far longer than any of them draws or validates."""

MARKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment by which torchrun tells a process which rank it is."""


def count() -> int:
    """How many ranks train together; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if all(mark in os.environ for mark in MARKS) else 1


def number() -> int:
    """Which rank this is, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def number_here() -> int:
    """Which of the ranks on this machine this is, from 0."""
    return int(os.environ["LOCAL_RANK"]) if count() > 1 else 0


def is_first() -> bool:
    """Whether this rank writes and prints."""
    return number() == 0


def together(action: Callable[[], None]) -> Callable[[], None]:
    """The action of a command, connected with the other ranks while it runs.

    All ranks but the first are silent. An error is told by the rank that meets it first; the others
    leave with the exit code of what they met.

    Raises:
        TrainingError: a rank has ended, or has not answered for `TIMEOUT`.
    """

    def connected() -> None:
        if count() == 1:
            action()
            return
        stderr = sys.stderr
        if not is_first():
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
            warnings.simplefilter("ignore")
        store = _connect()
        try:
            action()
        except Exception as error:
            _leave_in_peace()
            is_first_to_tell = _is_first_to_tell(store)
            if not _has_nccl():  # which would wait for ranks that are gone
                _disconnect()
            if not is_first_to_tell:
                sys.exit(error.exit_code if isinstance(error, UserError) else 1)
            sys.stderr = stderr
            raise
        _disconnect()

    return connected


def _connect() -> Store:
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    with _others_answer():
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if _has_nccl() else "gloo",
            timeout=TIMEOUT,
            store=PrefixStore("ranks", store),
            rank=rank,
            world_size=size,
        )
    told: Store = PrefixStore("told", store)
    return told


def _has_nccl() -> bool:
    import torch
    from torch import distributed

    return torch.cuda.is_available() and distributed.is_nccl_available()


def _disconnect() -> None:
    """Also ends gloo's threads, around which a process that exits may abort."""
    from torch import distributed

    distributed.destroy_process_group()


def _leave_in_peace() -> None:
    """Let no signal of torchrun, which ends all ranks when one has ended, change the exit code."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)


def _is_first_to_tell(store: Store) -> bool:
    try:
        return store.add("errors", 1) == 1
    except RuntimeError:  # the store has ended with the rank that kept it
        return True


@contextmanager
def _others_answer() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"Another one of the {count()} processes has ended, or has not answered for "
            f"{TIMEOUT.seconds // 60} minutes, so all of them stop. What was saved before is "
            "untouched: go on with --resume."
        ) from error


def summed(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sum over the ranks of each tensor, the same bits on all of them; without gradient.

    Raises:
        TrainingError: a rank does not answer.
    """
    import torch
    from torch import distributed

    kinds: dict[Any, list[int]] = {}
    for index, tensor in enumerate(tensors):
        kinds.setdefault((tensor.device, tensor.dtype), []).append(index)
    found: dict[int, Tensor] = {}
    for indices in kinds.values():
        members = [tensors[index] for index in indices]
        flat = torch.cat([member.detach().flatten() for member in members])
        with _others_answer():
            distributed.all_reduce(flat)
        parts = flat.split([member.numel() for member in members])
        for index, member, part in zip(indices, members, parts, strict=True):
            found[index] = part.view(member.shape)
    return [found[index] for index in range(len(tensors))]


def of_first(tensor: Tensor) -> Tensor:
    """The first rank's tensor, on all of them; with one process the tensor. Without gradient.

    Raises:
        TrainingError: a rank does not answer.
    """
    if count() == 1:
        return tensor
    from torch import distributed

    found = tensor.detach().clone()
    with _others_answer():
        distributed.broadcast(found, src=0)
    return found


def largest(*values: int) -> tuple[int, ...]:
    """Of each value the largest of all ranks; with one process the values.

    Raises:
        TrainingError: a rank does not answer.
    """
    if count() == 1:
        return values
    import torch
    from torch import distributed

    found = torch.tensor(values)
    with _others_answer():
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return tuple(found.tolist())


def agreed(value: Value) -> Value:
    """The first rank's value.

    Raises:
        TrainingError: a rank does not answer.
    """
    if count() == 1:
        return value
    from torch import distributed

    values = [value]
    with _others_answer():
        distributed.broadcast_object_list(values, src=0)
    return values[0]


def gathered(value: Value) -> list[Value]:
    """The values of all ranks, on all of them.

    Raises:
        TrainingError: a rank does not answer.
    """
    if count() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * count()
    with _others_answer():
        distributed.all_gather_object(values, value)
    return values


def average_statistics(modules: Iterable[nn.Module]) -> None:
    """Give all ranks the mean of their running statistics, which each took of its own images.

    Raises:
        TrainingError: a rank does not answer.
    """
    if count() == 1:
        return
    import torch

    statistics = [
        buffer
        for network in modules
        for module in network.modules()
        for name in ("running_mean", "running_var")
        if isinstance(buffer := getattr(module, name, None), torch.Tensor)
    ]
    if not statistics:
        return
    for buffer, total in zip(statistics, summed(statistics), strict=True):
        buffer.copy_(total / count())


def refuse_differences(state: Mapping[str, Any]) -> None:
    """Make sure that all ranks have the same tensors, bit for bit.

    Args:
        state: nested mappings and lists with tensors; other values are passed over.

    Raises:
        TrainingError: names the first tensor that differs.
    """
    if count() == 1:
        return
    own = {place: _hash(tensor) for place, tensor in _tensors(state, "")}
    first, *others = gathered(own)
    for rank, other in enumerate(others, start=1):
        for place in [*first, *other]:
            if first.get(place) != other.get(place):
                raise TrainingError(
                    f"The processes have come apart: {place} of process {rank} differs from that "
                    "of process 0, though all have taken the same steps. The last checkpoint is "
                    "from before: go on from it with --resume, and if it happens again, with one "
                    "process."
                )


def _tensors(tree: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    if isinstance(tree, torch.Tensor):
        yield place, tree
    elif isinstance(tree, (Mapping, list, tuple)):
        entries = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for name, part in entries:
            yield from _tensors(part, f"{place}.{name}" if place else str(name))


def _hash(tensor: Tensor) -> str:
    import torch

    content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(content.numpy().tobytes()).hexdigest()
