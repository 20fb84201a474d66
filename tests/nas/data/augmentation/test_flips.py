from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nas.data.augmentation.flips import draw_flips, flip
from nas.data.augmentation.sample import Sample

MakeSample = Callable[..., Sample]


def test_horizontal_swaps_left_and_right_vertical_top_and_bottom() -> None:
    labels = torch.tensor([[1, 2, 3], [4, 5, 6]])
    sample = Sample(labels.float()[None] / 6, labels, labels.float())
    expected = {
        (-1,): [[3, 2, 1], [6, 5, 4]],
        (-2,): [[4, 5, 6], [1, 2, 3]],
        (-1, -2): [[6, 5, 4], [3, 2, 1]],
        (): [[1, 2, 3], [4, 5, 6]],
    }
    for axes, flipped in expected.items():
        found = flip(sample, axes)
        assert found.labels.tolist() == flipped
        assert found.weights is not None and found.weights.tolist() == flipped
        assert torch.equal(found.image[0], found.labels.float() / 6)


def frequencies(directions: tuple[str, ...]) -> dict[tuple[int, ...], float]:
    generator = torch.Generator().manual_seed(3)
    drawn = [draw_flips(directions, generator) for _ in range(4000)]
    return {axes: drawn.count(axes) / len(drawn) for axes in set(drawn)}


def test_each_direction_in_half_of_the_images_independent_of_the_other() -> None:
    # Four standard deviations of a share of 1/4 among 4000 are 0.027.
    both = frequencies(("vertical", "horizontal"))
    assert both == {axes: pytest.approx(0.25, abs=0.027) for axes in ((), (-1,), (-2,), (-1, -2))}


def test_only_the_configured_directions() -> None:
    assert frequencies(()) == {(): 1}
    half = pytest.approx(0.5, abs=0.032)
    assert frequencies(("horizontal",)) == {(): half, (-1,): half}
    assert frequencies(("vertical",)) == {(): half, (-2,): half}
