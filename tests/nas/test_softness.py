"""Softness exchanged between maps, against the definition pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nas.cues import hardened, smoothed
from nas.softness import class_distances, with_softness_of


@pytest.fixture
def maps() -> Tensor:
    """Three classes in the first map, two in the second, one in the third."""
    labels = torch.zeros(3, 9, 8, dtype=torch.long)
    labels[0, 1:5, 1:4] = 1
    labels[0, 6:, 5:] = 2
    labels[1, 2:7, 3:6] = 2
    one_hot = torch.eye(3)[labels].movedim(-1, 1)
    return (4 * one_hot + torch.rand(3, 3, 9, 8)).softmax(dim=1)


@pytest.fixture
def others() -> Tensor:
    return (2 * torch.randn(2, 3, 9, 8)).softmax(dim=1)


def distance(shape: list[list[int]], row: int, column: int, wanted: int) -> float:
    """To the nearest pixel of a class, by looking at all."""
    return min(
        (
            math.hypot(row - r, column - c)
            for r, values in enumerate(shape)
            for c, value in enumerate(values)
            if value == wanted
        ),
        default=math.inf,
    )


def test_distances_are_those_to_the_nearest_pixel_of_the_class(maps: Tensor) -> None:
    found = class_distances(maps)
    for image, shape in enumerate(maps.argmax(dim=1).tolist()):
        for row in range(9):
            for column in range(8):
                expected = [distance(shape, row, column, wanted) for wanted in range(3)]
                assert found[image, :, row, column].tolist() == pytest.approx(expected)


def test_shapes_stay_and_softness_is_that_of_the_others(maps: Tensor, others: Tensor) -> None:
    """The last of three maps takes the softness of the first of two others."""
    mixed = with_softness_of(maps, others)
    assert torch.equal(mixed.argmax(dim=1), maps.argmax(dim=1))
    for index, given in enumerate([0, 1, 0]):
        found, expected = (
            sorted(tuple(sorted(pixel)) for pixel in each.flatten(1).T.tolist())
            for each in (mixed[index], others[given])
        )
        assert found == expected


def test_pixels_nearer_to_a_border_are_less_sure(maps: Tensor, others: Tensor) -> None:
    mixed = with_softness_of(maps, others)
    for image in range(2):
        shape = maps[image].argmax(dim=0).tolist()
        pixels = [
            (
                min(distance(shape, r, c, k) for k in range(3) if k != shape[r][c]),
                float(mixed[image, :, r, c].max()),
            )
            for r in range(9)
            for c in range(8)
        ]
        for near, unsure in pixels:
            assert all(unsure <= sure for far, sure in pixels if far > near + 1e-6)


def test_the_second_probability_is_that_of_the_nearest_other_class(
    maps: Tensor, others: Tensor
) -> None:
    mixed = with_softness_of(maps, others)[0]
    shape = maps[0].argmax(dim=0).tolist()
    for row in range(9):
        for column in range(8):
            distances = [distance(shape, row, column, wanted) for wanted in range(3)]
            by_nearness = sorted(range(3), key=lambda wanted: distances[wanted])
            by_probability = mixed[:, row, column].argsort(descending=True).tolist()
            if len(set(distances)) == 3:
                assert by_probability == by_nearness


def test_one_hot_others_harden(maps: Tensor, others: Tensor) -> None:
    assert torch.equal(with_softness_of(maps, hardened(others)), hardened(maps))


def test_evenly_smoothed_others_smooth_evenly(maps: Tensor, others: Tensor) -> None:
    expected = smoothed(hardened(maps), 0.3)
    assert torch.allclose(with_softness_of(maps, smoothed(hardened(others), 0.3)), expected)


def test_nothing_is_remembered_for_gradients(maps: Tensor, others: Tensor) -> None:
    assert not with_softness_of(maps, others.requires_grad_()).requires_grad
