from __future__ import annotations

import torch

from search_spaces.pixel_products import product


def test_each_map_is_multiplied_by_its_own_weights() -> None:
    x, weight = torch.randn(7, 3, 4), torch.randn(3, 5, 4)
    y = product(x, weight)
    torch.testing.assert_close(y, torch.einsum("rmi,moi->rmo", x, weight))
    assert y.is_contiguous()


def test_gradients_of_first_and_second_order_are_right() -> None:
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(product, (x, weight))
    assert torch.autograd.gradgradcheck(product, (x, weight))
