"""A fault is told once, counted always, and remembered over a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.data.batches import Batch
from nas.health import Health
from nas.health_record import HealthRecord, examined_batches, is_examined
from nas.runs import RunFolder
from nas.tracking import Tracker

SOUND = Health(
    verdicts=20,
    real_loss=0.6,
    fake_loss=0.6,
    real_accuracy=0.7,
    fake_accuracy=0.7,
    softened_real_accuracy=0.7,
    hardened_fake_accuracy=0.7,
    segmenter_gradient=0.1,
    segmentation_gradient=1.0,
    adversarial_weight=0.01,
    shown_classes=(0, 1),
    leaked_gradient=0.0,
)
WINNING = replace(SOUND, real_accuracy=0.97, fake_accuracy=0.97)
LEAKING = replace(SOUND, leaked_gradient=2.0)


def test_a_fault_is_told_when_it_first_appears_and_counted_after(tmp_path: Path) -> None:
    said: list[str] = []
    record = HealthRecord()
    with Tracker(RunFolder(tmp_path), say=said.append) as tracker:
        for epoch, health in enumerate([SOUND, WINNING, SOUND, WINNING, LEAKING]):
            record.take(health, epoch, tracker)
    assert len(said) == 2
    assert said[0].startswith("Epoch 2: The discriminator wins outright")
    assert said[1].startswith("Epoch 5: ")
    assert (tmp_path / "notes.txt").read_text().splitlines() == said
    assert record.epochs == 5
    assert list(record.counts.values()) == [2, 1]
    assert "of its healthy band" in str(record.summary())
    assert "in 2" in str(record.summary())
    again = HealthRecord()
    again.restore(record.state())
    assert again == record


def test_a_run_within_the_band_says_so_and_one_without_examinations_nothing(
    tmp_path: Path,
) -> None:
    record = HealthRecord()
    assert record.summary() is None
    with Tracker(RunFolder(tmp_path), say=lambda line: None) as tracker:
        record.take(SOUND, 0, tracker)
    assert "in its healthy band in all of 1 epochs" in str(record.summary())


@pytest.mark.parametrize(("size", "count"), [(1, 8), (2, 4), (3, 3), (16, 1)])
def test_as_many_batches_are_examined_as_the_band_needs(size: int, count: int) -> None:
    class Steps:
        def __len__(self) -> int:
            return 10

        def whole(self, epoch: int, step: int) -> Batch:
            empty = torch.zeros(size, 1, 2, 2)
            return Batch(empty, empty[:, 0].long(), tuple(f"{epoch}{step}{i}" for i in range(size)))

    found = examined_batches(Steps(), 4)
    assert len(found) == count
    assert found[0].ids[0] == "400"


@pytest.mark.parametrize("every", [1, 7, 50, 200])
@pytest.mark.parametrize("steps", [1, 12, 13, 49, 50, 51, 400])
def test_an_examination_falls_due_once_in_so_many_steps(steps: int, every: int) -> None:
    """Whenever another multiple of them is reached: counted by brute force over single steps."""
    for epoch in range(120):
        done = range(epoch * steps + 1, (epoch + 1) * steps + 1)
        assert is_examined(epoch, steps, every) == any(step % every == 0 for step in done)


def test_without_a_number_of_steps_none_falls_due() -> None:
    assert not any(is_examined(epoch, 13, 0) for epoch in range(50))
