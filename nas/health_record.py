"""The discriminator's health over a run: a fault is told when it first appears, then counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nas.data.batches import Batch, Batches
from nas.faults import HEALTHY, faults
from nas.health import Health
from nas.tracking import Tracker

EXAMINED_IMAGES = HEALTHY.verdicts
"""Images of an epoch that the discriminator is examined on, or somewhat more: whole batches."""


def is_examined(epoch: int, steps: int, every: int) -> bool:
    """Whether an epoch of a search, counted from 0, reaches another multiple of ``every`` steps.

    The discriminator is examined then. The first epoch of a search and its last have an
    examination whatever this says.

    Args:
        epoch: of the search.
        steps: of each epoch.
        every: steps between two examinations; 0 for none.
    """
    return every > 0 and epoch * steps // every != (epoch + 1) * steps // every


def examined_batches(batches: Batches, epoch: int) -> list[Batch]:
    """The first batches of an epoch, counted from 0, as far as enough images are in them."""
    found: list[Batch] = []
    for step in range(len(batches)):
        found.append(batches.whole(epoch, step))
        if sum(len(batch.ids) for batch in found) >= EXAMINED_IMAGES:
            break
    return found


@dataclass
class HealthRecord:
    """What examinations have found so far.

    Attributes:
        epochs: how many there were.
        counts: in how many of them each fault was there, by its name.
    """

    epochs: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def take(self, health: Health, epoch: int, tracker: Tracker) -> None:
        """Take in the examination of an epoch, counted from 0; new faults are told in words."""
        self.epochs += 1
        for name, sentence in faults(health).items():
            if name not in self.counts:
                tracker.note(f"Epoch {epoch + 1}: {sentence}")
            self.counts[name] = self.counts.get(name, 0) + 1

    def summary(self) -> str | None:
        """The faults of the run in one sentence; None where nothing was examined."""
        if not self.epochs:
            return None
        if not self.counts:
            everywhere = f"all of {self.epochs} epochs examined"
            return f"The discriminator was in its healthy band in {everywhere}."
        listed = ", ".join(f"{name} in {count}" for name, count in self.counts.items())
        return (
            f"Of {self.epochs} epochs examined, the discriminator was out of its healthy band for "
            f"these reasons: {listed}. What they mean is in notes.txt."
        )

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain values."""
        return {"epochs": self.epochs, "counts": dict(self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was taken from."""
        self.epochs, self.counts = state["epochs"], dict(state["counts"])
