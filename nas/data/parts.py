"""The part of a batch that one of several processes sees.

A loss of the whole batch is the sum over the parts of each part's loss, times its share of what the
loss is a mean over. So a part carries its shares.
"""

from __future__ import annotations

from nas.data.batches import Batch, Shares
from nas.data.cases import UNKNOWN


def bounds(size: int, number: int, count: int) -> tuple[int, int]:
    """Where part ``number`` of ``count`` (from 0) of so many images begins, and where it ends.

    Parts differ by one image at most; some are empty where there are fewer images than parts.
    """
    return size * number // count, size * (number + 1) // count


def part_of(batch: Batch, number: int, count: int) -> Batch:
    """One of the parts of a batch, with its shares.

    A part that would be empty holds the first image with the share 0: it passes through the
    networks like any other, and moves nothing.

    Args:
        batch: as a whole, with all that is added to it.
        number: of the part, from 0.
        count: of the parts, 1 or more.
    """
    size = len(batch.ids)
    begin, end = bounds(size, number, count)
    images = slice(begin, end) if begin < end else slice(0, 1)
    triplets = batch.triplets
    if triplets is not None:
        pixels = batch.labels[0].numel()
        inside = (triplets[:, 0] >= begin * pixels) & (triplets[:, 0] < end * pixels)
        triplets = triplets[inside] - begin * pixels
    unlabelled, unlabelled_share = batch.unlabelled, 0.0
    if unlabelled is not None:
        first, last = bounds(len(unlabelled), number, count)
        unlabelled_share = (last - first) / len(unlabelled)
        unlabelled = unlabelled[first:last] if first < last else unlabelled[:1]
    known = batch.labels != UNKNOWN
    return Batch(
        images=batch.images[images],
        labels=batch.labels[images],
        ids=batch.ids[images],
        weights=None if batch.weights is None else batch.weights[images],
        triplets=triplets,
        unlabelled=unlabelled,
        shares=Shares(
            images=(end - begin) / size,
            known=known[begin:end].sum().double() / known.sum().clamp(min=1),
            unlabelled=unlabelled_share,
        ),
    )
