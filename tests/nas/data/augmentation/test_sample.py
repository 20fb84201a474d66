from __future__ import annotations

import pytest
import torch

from nas.data.augmentation.sample import Sample


def test_size_is_height_and_width() -> None:
    assert Sample(torch.zeros(3, 4, 5), torch.zeros(4, 5).long(), None).size == (4, 5)


@pytest.mark.parametrize(
    ("image", "labels", "weights"),
    [
        ((3, 4, 5), (5, 4), None),
        ((3, 4, 5), (4, 5), (4, 6)),
        ((4, 5), (4, 5), None),
        ((1, 3, 4, 5), (4, 5), None),
        ((3, 4, 5), (1, 4, 5), None),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    image: tuple[int, ...], labels: tuple[int, ...], weights: tuple[int, ...] | None
) -> None:
    sample = Sample(
        torch.zeros(image),
        torch.zeros(labels).long(),
        None if weights is None else torch.zeros(weights),
    )
    with pytest.raises(ValueError, match=r"expected an image \(C, H, W\)"):
        _ = sample.size


def test_mapped_reaches_every_part() -> None:
    sample = Sample(torch.rand(2, 3, 4), torch.arange(12).view(3, 4), torch.rand(3, 4))
    moved = sample.mapped(lambda part: part.transpose(-1, -2))
    assert moved.weights is not None and sample.weights is not None
    assert torch.equal(moved.image[1], sample.image[1].T)
    assert torch.equal(moved.labels, sample.labels.T)
    assert torch.equal(moved.weights, sample.weights.T)
    assert sample._replace(weights=None).mapped(lambda part: part).weights is None
