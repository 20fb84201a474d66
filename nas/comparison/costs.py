"""What the parts of a cell took, kept in its folder while they run.

cost.jsonl has two lines for each part of a process: one when it begins, one when it ends. A part
without its second line was killed, and its cost is not known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import torch
from msgspec import Struct

from nas.comparison.record import Cost
from nas.memory import peak
from nas.runs import unwritable

COST_FILE = "cost.jsonl"
Part = Literal["search", "retrain"]


class _Line(Struct, frozen=True, kw_only=True):
    part: Part
    ended: bool
    seconds: float = 0.0
    process_seconds: float = 0.0
    peak_memory: int | None = None
    peak_device_memory: int | None = None


@contextmanager
def measured(folder: Path, part: Part) -> Iterator[None]:
    """Note what is done in this context as a part of the cell.

    Raises:
        RunError: the file cannot be written.
    """
    _append(folder, _Line(part=part, ended=False))
    has_device = torch.cuda.is_available()
    if has_device:
        torch.cuda.reset_peak_memory_stats()
    seconds, process_seconds = time.monotonic(), time.process_time()
    try:
        yield
    finally:
        line = _Line(
            part=part,
            ended=True,
            seconds=time.monotonic() - seconds,
            process_seconds=time.process_time() - process_seconds,
            peak_memory=peak(),
            peak_device_memory=torch.cuda.max_memory_allocated() if has_device else None,
        )
        _append(folder, line)


def _append(folder: Path, line: _Line) -> None:
    path = folder / COST_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            stream.write(json.dumps(msgspec.to_builtins(line)) + "\n")
    except OSError as error:
        raise unwritable(path, error) from error


def read_cost(folder: Path) -> Cost | None:
    """What a cell has taken so far; None where nothing was noted."""
    path = folder / COST_FILE
    if not path.exists():
        return None
    whole = path.read_bytes().split(b"\n")[:-1]
    lines = [msgspec.json.decode(line, type=_Line) for line in whole if line]
    ended = [line for line in lines if line.ended]
    of_search = [line for line in ended if line.part == "search"]
    return Cost(
        seconds=sum(line.seconds for line in ended),
        process_seconds=sum(line.process_seconds for line in ended),
        search_seconds=sum(line.seconds for line in of_search),
        search_process_seconds=sum(line.process_seconds for line in of_search),
        peak_memory=_largest([line.peak_memory for line in ended]),
        peak_device_memory=_largest([line.peak_device_memory for line in ended]),
        complete=2 * len(ended) == len(lines),
    )


def _largest(values: list[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
