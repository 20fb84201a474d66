"""Against sums over pixels and taps, written out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import depthwise
from search_spaces.kernels.depthwise import Form

FORMS = [Form(3, 1, 1), Form(5, 1, 1), Form(3, 1, 2), Form(5, 1, 2), Form(3, 2, 1), Form(5, 2, 1)]
SIZES = [(1, 1), (2, 3), (4, 4), (7, 13), (17, 9)]
IMAGES, CHANNELS, TARGETS = 2, 32, 3

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def _arrays(form: Form, size: tuple[int, int]) -> Arrays:
    """Maps, kernels and slopes."""
    noise = np.random.default_rng(0)
    out = [-(-length // form.stride) for length in size]
    return (
        noise.standard_normal((IMAGES, *size, CHANNELS)),
        noise.standard_normal((form.kernel, form.kernel, TARGETS, CHANNELS)),
        noise.standard_normal((IMAGES, *out, TARGETS, CHANNELS)),
    )


def _written_out(x: np.ndarray, weight: np.ndarray, slope: np.ndarray, form: Form) -> Arrays:
    """Result, gradient of x and gradient of the weight."""
    y, to_x, to_weight = np.zeros_like(slope), np.zeros_like(x), np.zeros_like(weight)
    padding = form.dilation * (form.kernel - 1) // 2
    for row, column in np.ndindex(*slope.shape[1:3]):
        for i, j in np.ndindex(form.kernel, form.kernel):
            h = row * form.stride - padding + i * form.dilation
            w = column * form.stride - padding + j * form.dilation
            if 0 <= h < x.shape[1] and 0 <= w < x.shape[2]:
                y[:, row, column] += x[:, h, w, None] * weight[i, j]
                to_x[:, h, w] += (slope[:, row, column] * weight[i, j]).sum(1)
                to_weight[i, j] += (x[:, h, w, None] * slope[:, row, column]).sum(0)
    return y, to_x, to_weight


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threads", [1, 2])
def test_convolutions_and_gradients_are_sums_over_taps(
    form: Form, size: tuple[int, int], threads: int
) -> None:
    x, weight, slope = _arrays(form, size)
    y, to_x, to_weight = _written_out(x, weight, slope, form)
    result = np.full_like(slope, np.nan)
    depthwise.convolve(x, weight, result, form, threads)
    np.testing.assert_allclose(result, y, rtol=1e-12, atol=1e-12)
    total = np.ones_like(x)
    depthwise.add_input_gradient(slope, weight, total, form, threads)
    np.testing.assert_allclose(total, 1 + to_x, rtol=1e-12, atol=1e-12)
    found = depthwise.weight_gradient(x, slope, form, threads)
    np.testing.assert_allclose(found, to_weight, rtol=1e-12, atol=1e-12)


def test_threads_change_no_bit() -> None:
    x, weight, slope = (each.astype(np.float32) for each in _arrays(FORMS[1], (40, 40)))
    one, other = (depthwise.weight_gradient(x, slope, FORMS[1], threads) for threads in (1, 3))
    np.testing.assert_array_equal(one, other)


def test_what_is_no_number_stays_none() -> None:
    x, weight, slope = _arrays(FORMS[0], (4, 4))
    x[0, 2, 2, 5] = np.nan
    result = np.empty_like(slope)
    depthwise.convolve(x, weight, result, FORMS[0], 1)
    assert np.isnan(result[0, 1:4, 1:4, :, 5]).all()
    assert np.isnan(result).sum() == 9 * TARGETS
