"""DCAN: summed scores, and contours that take pixels away from objects."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from nas.segmenters.dcan import DCAN, fuse


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_in_closed_form() -> None:
    """Input block, five blocks of two, and for each of the last three a norm layer and scores."""
    width, classes = 4, 3
    factors = [1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 16]
    channels = [2, *(width * factor for factor in factors)]
    convolutions = sum(9 * a * b + 2 * b for a, b in pairwise(channels))
    scores = sum(2 * c + c * classes + classes for c in (16 * width, 8 * width, 8 * width))
    assert count(DCAN(2, classes, width=width)) == convolutions + scores


def test_scores_of_the_last_three_blocks_are_summed() -> None:
    network = DCAN(1, 2, width=2).eval()
    images = torch.rand(1, 1, 48, 64)
    with torch.no_grad():
        total = network(images)
        parts = []
        for kept in range(3):
            for index, score in enumerate(network.objects):
                score[-1].register_forward_hook(
                    lambda *given, off=index != kept: given[2] * 0 if off else given[2]
                )
            parts.append(network(images))
            for score in network.objects:
                score[-1]._forward_hooks.clear()
    torch.testing.assert_close(sum(parts), total)
    assert all(bool(part.any()) for part in parts)


@pytest.mark.parametrize("contours", [False, True])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_any_size(contours: bool, normalisation: str) -> None:
    network = DCAN(2, 3, width=2, contours=contours, normalisation=normalisation)
    for size in ((32, 32), (65, 97)):
        logits = network(torch.rand(2, 2, *size))
        assert logits.shape == (2, 3, *size)
        logits.sum().backward()


def test_fusion_is_object_and_not_contour() -> None:
    generator = torch.Generator().manual_seed(0)
    objects = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    contours = torch.randn(2, 2, 4, 5, dtype=torch.float64, generator=generator)
    object_shares, contour = objects.softmax(1), contours.softmax(1)[:, 1:]
    expected = object_shares * (1 - contour)
    expected[:, :1] += contour
    torch.testing.assert_close(fuse(objects, contours).softmax(1), expected)
    torch.testing.assert_close(fuse(objects, contours).exp(), expected)


def test_both_heads_are_there_for_losses_on_both() -> None:
    network = DCAN(1, 3, width=2, contours=True)
    images = torch.rand(2, 1, 32, 40)
    objects, contours = network.heads(images)
    assert objects.shape == (2, 3, 32, 40)
    assert contours is not None
    assert contours.shape == (2, 2, 32, 40)
    torch.testing.assert_close(network(images), fuse(objects, contours))
    assert DCAN(1, 3, width=2).heads(images)[1] is None


def test_refuses_no_channels() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DCAN(1, 2, width=0)
