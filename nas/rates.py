"""Learning rates over the epochs, and when to stop early."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    ReduceLROnPlateau,
    StepLR,
)

from nas.errors import UsageError
from nas.settings import TrainingSettings


def parse_table(entries: Sequence[str]) -> dict[int, float]:
    """``EPOCH:FACTOR`` entries as factors by the epoch, counted from 1, from which they hold.

    Raises:
        UsageError: an entry is of another form, or the epochs do not rise.
    """
    table: dict[int, float] = {}
    for entry in entries:
        epoch, _, factor = entry.partition(":")
        try:
            begin, times = int(epoch), float(factor)
        except ValueError:
            begin, times = 0, math.nan
        if begin <= max(table, default=0) or not (times > 0 and math.isfinite(times)):
            raise UsageError(
                f"--lr-table {' '.join(entries)}: {entry!r} is not EPOCH:FACTOR with rising epochs "
                "from 1 on and positive factors, such as 21:0.5 101:0.1."
            )
        table[begin] = times
    return table


def check_rates(settings: TrainingSettings) -> None:
    """Refuse a table without its schedule or of another form, and a floor above the rates.

    Raises:
        UsageError: with what is wrong.
    """
    if (settings.lr_schedule == "table") != bool(settings.lr_table):
        raise UsageError("--lr-schedule table and --lr-table belong together: give both or none.")
    parse_table(settings.lr_table)
    lowest = min(settings.segmenter_lr, settings.discriminator_lr)
    if settings.lr_schedule in ("plateau", "cosine") and settings.lr_min > lowest:
        raise UsageError(
            f"--lr-min {settings.lr_min:g} is above a learning rate, {lowest:g}, which would rise: "
            "lower it."
        )


class RateSchedule:
    """The learning rates of all optimisers of the weights, moved once after each epoch.

    Args:
        settings: of the training.
        optimizers: of the networks, with the rates at the start.
        epochs: for which it lasts.
    """

    def __init__(
        self, settings: TrainingSettings, optimizers: Sequence[Optimizer], epochs: int
    ) -> None:
        schedulers = [_scheduler(settings, optimizer, epochs) for optimizer in optimizers]
        self._schedulers = [scheduler for scheduler in schedulers if scheduler is not None]

    def after_epoch(self, monitored: float | None) -> None:
        """Go on to the next epoch; a plateau looks at the number of the validation images.

        The rate of a network that rests goes on with the others.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            for scheduler in self._schedulers:
                if isinstance(scheduler, ReduceLROnPlateau):
                    assert monitored is not None
                    scheduler.step(monitored)
                else:
                    scheduler.step()

    def state(self) -> list[dict[str, Any]]:
        """What it remembers, as plain values."""
        return [
            {name: value for name, value in scheduler.state_dict().items() if _is_plain(value)}
            for scheduler in self._schedulers
        ]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Become what `state` was taken from; the rates themselves are the optimisers'."""
        for scheduler, part in zip(self._schedulers, state, strict=True):
            scheduler.load_state_dict(part)


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _scheduler(settings: TrainingSettings, optimizer: Optimizer, epochs: int) -> LRScheduler | None:
    match settings.lr_schedule:
        case "table":
            return LambdaLR(optimizer, _factors(parse_table(settings.lr_table)))
        case "plateau":
            return ReduceLROnPlateau(
                optimizer,
                mode=direction(settings.monitor),
                factor=settings.lr_factor,
                patience=settings.lr_patience,
                min_lr=settings.lr_min,
            )
        case "decay":
            return StepLR(optimizer, settings.lr_every, settings.lr_factor)
        case "cosine":
            return CosineAnnealingLR(optimizer, epochs, settings.lr_min)
        case "constant":
            return None


def _factors(table: Mapping[int, float]) -> Callable[[int], float]:
    """The factor after so many epochs."""

    def factor(done: int) -> float:
        begun = [begin for begin in table if begin <= done + 1]
        return table[max(begun)] if begun else 1.0

    return factor


def direction(monitor: str) -> Literal["min", "max"]:
    """``max`` where more of a monitored number is better, ``min`` otherwise."""
    return "min" if monitor == "val_loss" else "max"


@dataclass
class EarlyStopping:
    """Counts the epochs without gain.

    Attributes:
        patience: epochs without gain after which to stop; 0 never does.
        monitor: the number that is watched.
        best: its best value so far.
        waited: epochs since.
    """

    patience: int
    monitor: str
    best: float | None = None
    waited: int = 0

    def after_epoch(self, value: float | None) -> None:
        """Take in the number of an epoch; None where there is none."""
        if value is None:
            return
        sign = 1.0 if direction(self.monitor) == "max" else -1.0
        if self.best is None or sign * value > sign * self.best:
            self.best, self.waited = value, 0
        else:
            self.waited += 1

    def stop_reason(self) -> str | None:
        """Why no further epoch is needed, in words; None to go on."""
        if not self.patience or self.waited < self.patience:
            return None
        return (
            f"{self.monitor} of the validation images has not improved for {self.waited} epochs "
            f"(best {self.best:.4g})."
        )

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain values."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        self.best, self.waited = state["best"], state["waited"]
