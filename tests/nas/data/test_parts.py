"""Parts of batches: together they are the whole, and so are the losses times their shares."""

from __future__ import annotations

import pytest
import torch

from nas.criteria import segmentation_criterion
from nas.data.batches import Batch
from nas.data.cases import UNKNOWN
from nas.data.parts import bounds, part_of
from nas.settings import LossSettings

SIZE = 6


def whole(images: int) -> Batch:
    labels = torch.randint(0, 3, (images, SIZE, SIZE))
    labels[0, :4] = UNKNOWN
    pixels = SIZE * SIZE
    triplets = torch.cat([torch.randint(0, pixels, (4, 3)) + i * pixels for i in range(images)])
    return Batch(
        torch.rand(images, 1, SIZE, SIZE),
        labels,
        tuple("abcdefgh"[:images]),
        torch.rand(images, SIZE, SIZE, dtype=torch.float64),
        triplets[torch.randperm(len(triplets))],
        torch.rand(images + 1, 1, SIZE, SIZE),
    )


def test_bounds_cover_everything_once_and_evenly() -> None:
    for size in range(12):
        for count in range(1, 7):
            found = [bounds(size, number, count) for number in range(count)]
            assert [end for _, end in found[:-1]] == [begin for begin, _ in found[1:]]
            assert (found[0][0], found[-1][1]) == (0, size)
            lengths = [end - begin for begin, end in found]
            assert max(lengths) - min(lengths) <= 1


def test_parts_are_the_batch() -> None:
    batch = whole(5)
    parts = [part_of(batch, number, 3) for number in range(3)]
    for name in ("images", "labels", "weights", "unlabelled"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(batch, name))
    assert tuple(case for part in parts for case in part.ids) == batch.ids
    for shares in zip(*(part.shares for part in parts if part.shares), strict=True):
        assert float(sum(shares)) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(("images", "count"), [(5, 2), (5, 3), (2, 3), (1, 2)])
@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "cross_entropy+dice"])
def test_losses_of_the_parts_add_up(images: int, count: int, loss: str) -> None:
    """With weights, unknown pixels and triplets; a part may hold nothing."""
    batch = whole(images)
    logits = torch.randn(images, 3, SIZE, SIZE, dtype=torch.float64)
    criterion = segmentation_criterion(LossSettings(loss=loss, triplet_weight=0.3))  # type: ignore[arg-type]
    parts = [part_of(batch, number, count) for number in range(count)]
    total = sum(
        criterion(logits[[batch.ids.index(case) for case in part.ids]], part) for part in parts
    )
    torch.testing.assert_close(total, criterion(logits, batch), rtol=1e-12, atol=1e-12)


def test_a_part_without_images_passes_one_that_counts_nothing() -> None:
    parts = [part_of(whole(1), number, 2) for number in range(2)]
    empty, full = sorted(parts, key=lambda part: part.shares.images if part.shares else 0)
    assert empty.ids == full.ids
    assert empty.shares is not None
    assert (empty.shares.images, float(empty.shares.known)) == (0, 0)
    assert empty.triplets is not None
    assert len(empty.triplets) == 0


def test_without_known_pixels_the_loss_is_nothing() -> None:
    batch = whole(2)
    batch.labels.fill_(UNKNOWN)
    part = part_of(batch, 1, 2)
    logits = torch.randn(1, 3, SIZE, SIZE, dtype=torch.float64)
    assert float(segmentation_criterion(LossSettings())(logits, part)) == 0
