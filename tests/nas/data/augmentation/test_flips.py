from __future__ import annotations

from collections import Counter

import pytest
import torch

from nas.data.augmentation.flips import draw_flips, flipped
from nas.data.augmentation.lines import all_lines, copied
from nas.data.augmentation.stack import Stack


def test_horizontal_swaps_left_and_right_vertical_top_and_bottom() -> None:
    labels = torch.tensor([[1, 2, 3], [4, 5, 6]]).repeat(4, 1, 1)
    wanted = torch.tensor([[False, True], [True, False], [True, True], [False, False]])
    found = copied(
        Stack(labels.float()[:, None] / 6, labels, labels.float()),
        flipped(all_lines(4, (2, 3)), wanted),
    )
    assert found.labels is not None and found.weights is not None
    assert found.labels.tolist() == [
        [[3, 2, 1], [6, 5, 4]],
        [[4, 5, 6], [1, 2, 3]],
        [[6, 5, 4], [3, 2, 1]],
        [[1, 2, 3], [4, 5, 6]],
    ]
    assert torch.equal(found.weights, found.labels.float())
    assert torch.equal(found.images[:, 0], found.labels.float() / 6)


def frequencies(directions: tuple[str, ...]) -> dict[tuple[bool, ...], float]:
    """Share of each pair (vertical, horizontal)."""
    drawn = Counter(tuple(pair) for pair in draw_flips(directions, torch.arange(4000)).tolist())
    return {pair: count / 4000 for pair, count in drawn.items()}


def test_each_direction_in_half_of_the_images_independent_of_the_other() -> None:
    # Four standard deviations of a share of 1/4 among 4000 are 0.027.
    quarter = pytest.approx(0.25, abs=0.027)
    pairs = [(a, b) for a in (False, True) for b in (False, True)]
    assert frequencies(("vertical", "horizontal")) == dict.fromkeys(pairs, quarter)


def test_only_the_configured_directions() -> None:
    assert frequencies(()) == {(False, False): 1}
    half = pytest.approx(0.5, abs=0.032)
    assert frequencies(("horizontal",)) == {(False, False): half, (False, True): half}
    assert frequencies(("vertical",)) == {(False, False): half, (True, False): half}
