from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from search_spaces.halves import halved


@given(height=st.integers(1, 7), width=st.integers(1, 7))
def test_halves_are_slices_of_the_image_and_of_the_shifted_one(height: int, width: int) -> None:
    x = torch.rand(2, height, width, 3, 4, dtype=torch.float64)
    even, odd = halved(x)
    assert torch.equal(even, x[:, ::2, ::2])
    assert torch.equal(odd, functional.pad(x, (0, 0, 0, 0, -1, 1, -1, 1))[:, ::2, ::2])
    assert even.is_contiguous() and odd.is_contiguous()


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 4), (3, 5)])
def test_gradients_of_both_orders(size: tuple[int, int]) -> None:
    x = torch.rand(2, *size, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(halved, x)
    assert torch.autograd.gradgradcheck(lambda x: [y**3 for y in halved(x)], x)
