from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.decoded import Decoded, apart, compact, expanded, stacked


def eight_bit(*shape: int) -> torch.Tensor:
    """What numpy makes of stored values, as the readers do."""
    stored = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    return torch.from_numpy(stored / np.float32(255))


def test_all_stored_values_of_8_bits_come_back_bit_for_bit() -> None:
    stored = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    image = torch.from_numpy(stored / np.float32(255))
    kept = compact(image)
    assert kept.dtype == torch.uint8 and kept.flatten().tolist() == list(range(256))
    assert torch.equal(expanded(kept), image)


@settings(max_examples=25, deadline=None)
@given(row=st.integers(0, 3), column=st.integers(0, 4), ulps=st.sampled_from([-1, 1, 1000]))
def test_one_pixel_that_is_no_whole_255th_keeps_the_image_as_it_is(
    row: int, column: int, ulps: int
) -> None:
    image = eight_bit(1, 4, 5)
    bits = image.view(torch.int32)
    bits[0, row, column] = torch.tensor(64 / 255).view(torch.int32) + ulps
    kept = compact(image)
    assert kept.dtype == torch.float32 and torch.equal(kept, image)
    assert torch.equal(expanded(kept), image)


def test_images_of_both_kinds_in_one_stack() -> None:
    first, second = eight_bit(1, 4, 5), torch.rand(1, 4, 5)
    kept = [compact(first), compact(second)]
    assert [part.dtype for part in kept] == [torch.uint8, torch.float32]
    assert torch.equal(stacked(kept), torch.stack((first, second)))
    assert torch.equal(stacked(kept[:1] * 2), torch.stack((first, first)))


def test_a_stack_is_new_memory() -> None:
    image = torch.rand(1, 4, 5)
    stacked([image]).zero_()
    assert image.any()


@pytest.mark.parametrize("pixels", [torch.rand(3, 5, 7), torch.arange(105).view(3, 5, 7).byte()])
def test_a_case_in_memory_of_its_own_is_the_same(pixels: torch.Tensor) -> None:
    decoded = Decoded(pixels, torch.arange(35).view(5, 7).byte())
    expected = Decoded(pixels.clone(), decoded.mask.clone())
    kept = [apart(decoded) for _ in range(2)]
    kept[0].pixels.zero_()
    for part in decoded:
        part.zero_()
    assert kept[1].pixels.dtype == pixels.dtype
    assert torch.equal(kept[1].pixels, expected.pixels)
    assert torch.equal(kept[1].mask, expected.mask)


def test_where_the_system_maps_no_more_a_case_stays_where_it_is() -> None:
    decoded = Decoded(torch.rand(1, 2, 2), torch.zeros(2, 2).byte())
    with patch("nas.data.decoded.mmap", side_effect=OSError(12, "Cannot allocate memory")):
        assert apart(decoded) is decoded


def test_a_case_goes_to_a_device() -> None:
    moved = Decoded(torch.zeros(1, 2, 2), torch.zeros(2, 2)).to(torch.device("meta"))
    assert moved.pixels.is_meta and moved.mask.is_meta


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_stored_values_come_back_bit_for_bit_on_a_gpu() -> None:
    image = eight_bit(3, 64, 64)
    assert torch.equal(expanded(compact(image).cuda()).cpu(), image)
