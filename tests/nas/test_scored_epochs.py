"""Which epochs of a search are scored, by hand."""

from __future__ import annotations

import pytest

from nas.scored_epochs import epochs_between, is_scored
from nas.settings import (
    ArchitectureSettings,
    AugmentationSettings,
    SearchSettings,
    TrainingSettings,
)


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [
        (1, 4, [1]),
        (3, 4, [1, 3]),
        (4, 4, [1, 4]),
        (10, 4, [1, 4, 8, 10]),
        (5, 1, [1, 2, 3, 4, 5]),
        (6, 100, [1, 6]),
    ],
)
def test_the_first_the_last_and_every_so_many(epochs: int, every: int, expected: list[int]) -> None:
    found = [epoch + 1 for epoch in range(epochs) if is_scored(epoch, epochs, every)]
    assert found == expected


@pytest.mark.parametrize(
    ("schedule", "curriculum", "expected"),
    [
        ("constant", (), 3),
        ("cosine", (), 3),
        ("plateau", (), 1),
        ("constant", ("elastic",), 1),
    ],
)
def test_a_search_that_looks_at_its_scores_has_them_after_every_epoch(
    schedule: str, curriculum: tuple[str, ...], expected: int
) -> None:
    settings = SearchSettings(
        training=TrainingSettings(lr_schedule=schedule),
        augmentation=AugmentationSettings(elastic=0.5, curriculum=curriculum),
        architecture=ArchitectureSettings(validate_every=3),
    )
    assert epochs_between(settings) == expected
