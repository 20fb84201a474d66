from __future__ import annotations

import pytest
import torch

from nas.data.augmentation.stack import Stack


def test_size_is_height_and_width() -> None:
    images = torch.zeros(2, 3, 4, 5)
    assert Stack(images, torch.zeros(2, 4, 5).long()).size == (4, 5)
    assert Stack(images).size == (4, 5)
    assert Stack(images, None, torch.zeros(2, 4, 5)).size == (4, 5)


@pytest.mark.parametrize(
    ("images", "labels", "weights"),
    [
        ((2, 3, 4, 5), (2, 5, 4), None),
        ((2, 3, 4, 5), (2, 4, 5), (2, 4, 6)),
        ((2, 3, 4, 5), (1, 4, 5), None),
        ((3, 4, 5), (4, 5), None),
        ((3, 4, 5), (3, 4, 5), None),
        ((2, 3, 4, 5), (2, 1, 4, 5), None),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    images: tuple[int, ...], labels: tuple[int, ...], weights: tuple[int, ...] | None
) -> None:
    stack = Stack(
        torch.zeros(images),
        torch.zeros(labels).long(),
        None if weights is None else torch.zeros(weights),
    )
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\)"):
        _ = stack.size


def test_mapped_reaches_every_part() -> None:
    stack = Stack(torch.rand(2, 3, 4, 5), torch.arange(40).view(2, 4, 5), torch.rand(2, 4, 5))
    moved = stack.mapped(lambda part: part.mT)
    assert moved.labels is not None and moved.weights is not None
    assert stack.labels is not None and stack.weights is not None
    assert torch.equal(moved.images[1, 2], stack.images[1, 2].T)
    assert torch.equal(moved.labels[0], stack.labels[0].T)
    assert torch.equal(moved.weights[1], stack.weights[1].T)
    assert stack._replace(weights=None).mapped(lambda part: part).weights is None
    assert Stack(stack.images).mapped(lambda part: part).labels is None


@pytest.mark.parametrize("chosen", [[], [1], [0, 2], [0, 1, 2]])
def test_some_of_the_images_are_chosen_and_replaced(chosen: list[int]) -> None:
    stack = Stack(torch.rand(3, 1, 2, 2), torch.arange(12).view(3, 2, 2))
    indices = torch.tensor(chosen, dtype=torch.int64)
    some = stack.chosen(indices)
    assert some.labels is not None and some.weights is None
    assert some.labels[:, 0, 0].tolist() == [4 * index for index in chosen]
    result = stack.replaced(indices, some.mapped(lambda part: part + 100))
    assert result.labels is not None and stack.labels is not None
    for index in range(3):
        added = 100 if index in chosen else 0
        assert torch.equal(result.labels[index], stack.labels[index] + added)
        assert torch.equal(result.images[index], stack.images[index] + added)
    assert stack.labels.max() == 11
