"""A separable convolution on all edges of a stage, and its gradients, by kernels.

Maps are arrays: of the sources (N, H, W, sources * C), of the edges (N, H', W', edges * C).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from search_spaces.arrays import array_of
from search_spaces.kernels import separable
from search_spaces.kernels.separable import Form, Seen, Slope
from search_spaces.kernels.tape import dense
from search_spaces.separable import Separable


class Needed(NamedTuple):
    """Of which weights gradients are needed."""

    within: bool
    across: bool
    bias: bool


class WeightGradients(NamedTuple):
    """Gradients of the weights of a convolution; None of those that are not needed."""

    within: Tensor | None
    across: Tensor | None
    bias: Tensor | None


class SeparableKernels:
    """What computes one convolution, which stands behind a ReLU.

    Args:
        convolution: of all edges.
    """

    def __init__(self, convolution: Separable) -> None:
        kernel, channels = convolution.within.shape[2], convolution.across.shape[1]
        self.across = array_of(convolution.across).reshape(-1, channels, channels)
        self.within = dense(array_of(convolution.within).reshape(-1, kernel * kernel).T)
        self.bias = None if convolution.bias is None else array_of(convolution.bias)
        self.form = Form(kernel, convolution.stride, convolution.dilation)
        self.threads = torch.get_num_threads()

    def forward(self, seen: Seen, y: np.ndarray) -> np.ndarray:
        """Write the result to y, and give the sums of y and y^2 over pixels, (2, N, edges * C)."""
        turned = dense(self.across.transpose(0, 2, 1))
        return separable.forward(seen, self.within, turned, self.bias, y, self.form, self.threads)

    def input_gradient(self, seen: Seen, slope: Slope, to_x: np.ndarray, adds: bool) -> np.ndarray:
        """Write the gradient of what is before the ReLU to ``to_x``, or add it.

        Returns:
            Sums over pixels, of the gradient and of its product with what is before the ReLU.
        """
        return separable.input_gradient(
            seen, slope, self.within, self.across, to_x, adds, self.form, self.threads
        )

    def weight_gradients(self, seen: Seen, slope: Slope, needed: Needed) -> WeightGradients:
        """Those of the weights that are needed."""
        if not any(needed):
            return WeightGradients(None, None, None)
        found = separable.weight_gradients(
            seen, slope, self.within, self.across, self.form, self.threads
        )
        kernel, channels = self.form.kernel, self.across.shape[1]
        within = dense(found.within.T).reshape(-1, 1, kernel, kernel)
        arrays = within, found.across.reshape(-1, channels, 1, 1), found.bias
        each = zip(arrays, needed, strict=True)
        return WeightGradients(*(torch.from_numpy(own) if wanted else None for own, wanted in each))
