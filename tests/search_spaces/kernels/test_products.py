"""Against numpy's own sums of products."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need numba")

from search_spaces.kernels import products


@pytest.mark.parametrize("pixels", [1, 7, 64, 131, 700])
@pytest.mark.parametrize(("maps", "ins", "outs"), [(3, 16, 16), (2, 48, 32)])
@pytest.mark.parametrize("threads", [1, 2])
def test_products_and_the_gradient_of_weights(
    pixels: int, maps: int, ins: int, outs: int, threads: int
) -> None:
    noise = np.random.default_rng(0)
    x = noise.standard_normal((pixels, maps, ins))
    weight = noise.standard_normal((maps, ins, outs))
    slope = noise.standard_normal((pixels, maps, outs))
    y = np.full_like(slope, np.nan)
    products.multiplied(x, weight, y, threads)
    np.testing.assert_allclose(y, np.einsum("pmi,mio->pmo", x, weight), rtol=1e-12, atol=1e-12)
    found = products.weight_gradient(x, slope, threads)
    np.testing.assert_allclose(found, np.einsum("pmi,pmo->mio", x, slope), rtol=1e-12, atol=1e-11)


def test_threads_change_no_bit() -> None:
    noise = np.random.default_rng(0)
    x, slope = noise.standard_normal((2, 3000, 1, 16)).astype(np.float32)
    one, other = (products.weight_gradient(x, slope, threads) for threads in (1, 3))
    np.testing.assert_array_equal(one, other)
