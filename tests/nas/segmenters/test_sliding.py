"""The sliding network against classifying the patch of each pixel by hand."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.discriminators.dc_net import DCNet
from nas.errors import UsageError
from nas.networks import build_segmenter
from nas.segmenters.sliding import SlidingClassifier, sliding_dc_net


def by_hand(network: DCNet, image: Tensor, row: int, column: int) -> Tensor:
    """Logits of all classes of the 64x64 window, cut out of the image as numpy pads it."""
    padded = np.pad(image.numpy(), ((0, 0), (32, 64), (32, 64)), mode="reflect")
    window = torch.from_numpy(padded[:, row : row + 64, column : column + 64].copy())
    return network.class_logits(window[None]).flatten()


@pytest.fixture
def network() -> DCNet:
    torch.manual_seed(0)
    return DCNet(2, classes=3, width=1).double().eval()


@torch.no_grad()
def test_every_pixel_has_the_logits_of_its_patch(network: DCNet) -> None:
    images = torch.rand(2, 2, 7, 9, dtype=torch.float64)
    found = SlidingClassifier(network)(images)
    assert found.shape == (2, 3, 7, 9)
    for case in range(2):
        for row in range(7):
            for column in range(9):
                expected = by_hand(network, images[case], row, column)[:3]
                torch.testing.assert_close(found[case, :, row, column], expected)


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (13, 16), (9, 17)])
def test_a_stride_is_exact_at_the_centres_and_bilinear_between(
    network: DCNet, size: tuple[int, int]
) -> None:
    stride = 4
    images = torch.rand(1, 2, *size, dtype=torch.float64)
    found = SlidingClassifier(network, stride=stride)(images)
    assert found.shape == (1, 3, *size)
    for row in range(size[0]):
        for column in range(size[1]):
            top, left = row // stride * stride, column // stride * stride
            down, across = (row - top) / stride, (column - left) / stride
            expected = torch.zeros(3, dtype=torch.float64)
            for r, v in ((top, 1 - down), (top + stride, down)):
                for c, h in ((left, 1 - across), (left + stride, across)):
                    if v * h:
                        expected += v * h * by_hand(network, images[0], r, c)[:3]
            torch.testing.assert_close(found[0, :, row, column], expected)


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 7, 35])
def test_batches_of_patches_are_bounded_and_change_nothing(network: DCNet, at_once: int) -> None:
    images = torch.rand(2, 2, 5, 7, dtype=torch.float64)
    whole = SlidingClassifier(network)(images)
    seen: list[int] = []
    network.features.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    with patch("nas.segmenters.sliding.PLACES_AT_ONCE", at_once):
        torch.testing.assert_close(SlidingClassifier(network)(images), whole)
    assert sum(seen) == 70
    assert max(seen) <= 2 * at_once


@torch.no_grad()
def test_the_logit_of_fake_has_no_part(network: DCNet) -> None:
    images = torch.rand(1, 2, 4, 4, dtype=torch.float64)
    before = SlidingClassifier(network)(images)
    network.head.get_parameter("bias")[-1] += 100
    torch.testing.assert_close(SlidingClassifier(network)(images), before)


@pytest.mark.slow
@torch.no_grad()
def test_is_exported_for_any_number_of_images(network: DCNet) -> None:
    sliding = SlidingClassifier(network, stride=4)
    one, three = (torch.rand(number, 2, 6, 5, dtype=torch.float64) for number in (2, 3))
    sizes = {"images": {0: torch.export.Dim("number")}}
    with patch("nas.segmenters.sliding.PLACES_AT_ONCE", 4):
        program = torch.export.export(sliding, (one,), dynamic_shapes=sizes)
    torch.testing.assert_close(program.module()(three), sliding(three))


def test_weights_fit_any_stride() -> None:
    coarse, fine = (sliding_dc_net(1, 2, width=2, stride=stride) for stride in (5, 1))
    fine.load_state_dict(coarse.state_dict())


@pytest.mark.parametrize(
    ("options", "width", "stride"), [("", 64, 1), ("?width=8", 8, 1), ("?width=2&stride=4", 2, 4)]
)
def test_is_built_by_name(options: str, width: int, stride: int) -> None:
    with torch.device("meta"):
        network = build_segmenter(f"patches:dc_net{options}", 3, 4)
    assert isinstance(network, SlidingClassifier)
    assert network.stride == stride
    first = next(each for each in network.modules() if isinstance(each, nn.Conv2d))
    assert (first.in_channels, first.out_channels) == (3, width)
    with torch.device("meta"):
        assert network.patch_logits(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        ("patches:dc_nett", "did you mean 'patches:dc_net'"),
        ("patches:dc_net?widht=8", "did you mean 'width'"),
        ("patches:dc_net?classes=3", "no option 'classes'"),
        ("patches:dc_net?stride=half", "stride=half"),
        ("patches:dc_net?stride=0", "stride must be at least 1"),
        ("patches:dc_net?width=0", "at least 1"),
    ],
)
def test_mistakes_are_told_as_of_other_networks(specification: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_segmenter(specification, 1, 2)


def test_is_no_discriminator() -> None:
    from nas.networks import build_discriminator

    with pytest.raises(UsageError, match="no discriminator 'patches:dc_net'"):
        build_discriminator("patches:dc_net", 1)


def test_refuses_a_stride_below_one(network: Any) -> None:
    with pytest.raises(ValueError, match="stride must be at least 1"):
        SlidingClassifier(network, stride=0)
