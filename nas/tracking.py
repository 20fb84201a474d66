"""What a run tells: metrics.jsonl, TensorBoard, pictures, and progress on the terminal."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nas.runs import RunFolder, unwritable


class Tracker:
    """Records of one run; a context that closes its files.

    Steps are counted over the whole run, so that curves of a resumed run join without a gap.
    """

    def __init__(
        self, folder: RunFolder, first_step: int = 0, say: Callable[[str], None] = print
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        self._say = say
        with self._writing():
            self._board = SummaryWriter(str(folder.tensorboard), purge_step=first_step)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._board.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self.folder.tensorboard, error) from error

    def scalars(self, values: Mapping[str, float], step: int, prefix: str) -> None:
        """Add numbers to TensorBoard under prefix/name."""
        with self._writing():
            for name, value in values.items():
                self._board.add_scalar(f"{prefix}/{name}", value, step)

    def note(self, sentence: str) -> None:
        """Tell the user something about the run, on the terminal and in notes.txt."""
        self._say(sentence)
        self.folder.add_note(sentence)

    def epoch(self, record: dict[str, Any], step: int) -> None:
        """Record one epoch in metrics.jsonl and TensorBoard; what is undefined becomes null."""
        defined = {key: value if _is_defined(value) else None for key, value in record.items()}
        self.folder.append_metrics(defined)
        numbers = {
            key: value
            for key, value in defined.items()
            if isinstance(value, (int, float)) and key != "epoch"
        }
        self.scalars(numbers, step, "epoch")
        with self._writing():
            self._board.flush()

    def picture(self, name: str, pixels: np.ndarray, epoch: int, step: int) -> None:
        """Save (H, W, 3) uint8 as pictures/name_epoch.png and add it to TensorBoard."""
        path = self.folder.pictures / f"{name}_{epoch:04d}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        except OSError as error:
            raise unwritable(path, error) from error
        with self._writing():
            self._board.add_image(name, pixels, step, dataformats="HWC")


class SilentTracker(Tracker):
    """Of a process that leaves all records to another one."""

    def __init__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def scalars(self, values: Mapping[str, float], step: int, prefix: str) -> None:
        """Keep nothing."""

    def note(self, sentence: str) -> None:
        """Say nothing."""

    def epoch(self, record: dict[str, Any], step: int) -> None:
        """Keep nothing."""

    def picture(self, name: str, pixels: np.ndarray, epoch: int, step: int) -> None:
        """Keep nothing."""


def _is_defined(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


@contextmanager
def reading_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for the reading of files, on a terminal; yields what is told (read so far, in all)."""
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class PatientConsole(Console):
    """A console whose reader may leave: what is printed then goes nowhere, the program goes on."""

    def on_broken_pipe(self) -> None:
        """Stop printing."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class TerminalProgress:
    """Progress over the steps of a run, with the remaining time.

    A bar that is redrawn on a terminal; one line per epoch where the output is a file or a pipe.
    """

    def __init__(self, title: str, steps: int, done: int) -> None:
        self.console = PatientConsole()
        self._steps = steps
        self._first = done
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("remaining"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=steps, completed=done)

    def __enter__(self) -> TerminalProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One step is done."""
        self._bar.advance(self._task)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def remaining(self, done: int, seconds: float) -> str:
        """Time left in words, from the speed since the start of this process."""
        here = done - self._first
        return duration(seconds / here * (self._steps - done)) if here else "unknown"


def duration(seconds: float) -> str:
    """A time span to two units: 41 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
