"""Against the library's pools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import pools

pytestmark = [
    pytest.mark.parametrize("stride", [1, 2]),
    pytest.mark.parametrize("size", [(1, 1), (2, 5), (9, 6), (8, 7)]),
    pytest.mark.parametrize("dtype", [torch.float32, torch.float64]),
]
N, R = 2, 32


def _noise(size: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """With many equal numbers beside each other, and with one that is none."""
    noise = torch.randn(N, *size, R, dtype=dtype).round()
    noise[0, 0, 0, 3] = float("nan")
    return noise


def _image(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2).detach().requires_grad_()


def test_maximum(stride: int, size: tuple[int, int], dtype: torch.dtype) -> None:
    x = _noise(size, dtype)
    image = _image(x)
    expected = functional.max_pool2d(image, 3, stride, 1)
    y = np.full(expected.permute(0, 2, 3, 1).shape, 7, x.numpy().dtype)
    taps, slope = np.full_like(y, 9), torch.randn(y.shape, dtype=dtype)
    pools.maximum(x.numpy(), y, taps, stride, 2)
    np.testing.assert_array_equal(y, expected.permute(0, 2, 3, 1).detach().numpy())
    to_x = np.ones(x.shape, y.dtype)
    pools.add_maximum_gradient(slope.numpy(), taps, to_x, stride, 2)
    (found,) = torch.autograd.grad(expected, image, slope.permute(0, 3, 1, 2))
    torch.testing.assert_close(torch.from_numpy(to_x), 1 + found.permute(0, 2, 3, 1))


def test_average(stride: int, size: tuple[int, int], dtype: torch.dtype) -> None:
    x = _noise(size, dtype)
    image = _image(x)
    expected = functional.avg_pool2d(image, 3, stride, 1, count_include_pad=False)
    y = np.full(expected.permute(0, 2, 3, 1).shape, 7, x.numpy().dtype)
    pools.average(x.numpy(), y, stride, 2)
    torch.testing.assert_close(
        torch.from_numpy(y), expected.permute(0, 2, 3, 1).detach(), equal_nan=True
    )
    to_x, slope = np.ones(x.shape, y.dtype), torch.randn(y.shape, dtype=dtype)
    pools.add_average_gradient(slope.numpy(), to_x, stride, 2)
    (found,) = torch.autograd.grad(expected, image, slope.permute(0, 3, 1, 2))
    torch.testing.assert_close(torch.from_numpy(to_x), 1 + found.permute(0, 2, 3, 1))
