"""A separable convolution on all edges of a stage, and its gradients, by kernels.

Maps are arrays: of the sources (N, H, W, sources * C), of the edges (N, H', W', edges * C).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from search_spaces.arrays import array_of
from search_spaces.kernels import depthwise, products
from search_spaces.kernels.depthwise import Form
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
    """What computes one convolution.

    Args:
        convolution: of all edges.
        targets: that read each source.
    """

    def __init__(self, convolution: Separable, targets: int) -> None:
        self.targets = targets
        kernel = convolution.within.shape[2]
        self.channels = convolution.across.shape[1]
        self.edges = len(convolution.across) // self.channels
        across = array_of(convolution.across)
        self.across = across.reshape(self.edges, self.channels, self.channels)
        within = array_of(convolution.within).reshape(-1, kernel * kernel)
        self.taps = dense(within.T).reshape(kernel, kernel, targets, -1)
        self.bias = None if convolution.bias is None else array_of(convolution.bias)
        self.stride = convolution.stride
        self.apart, stride, dilation = convolution.seen
        self.form = Form(kernel, stride, dilation)
        self.threads = torch.get_num_threads()

    def forward(self, x: np.ndarray, y: np.ndarray) -> None:
        """Write the result to y."""
        between = self.between(x)
        weight = dense(self.across.transpose(0, 2, 1))
        self._multiply(between, weight, y)
        if self.bias is not None:
            y += self.bias

    def between(self, x: np.ndarray) -> np.ndarray:
        """What is between the convolutions."""
        height, width = (-(-length // self.stride) for length in x.shape[1:3])
        shape = len(x), height, width, self.edges * self.channels
        y = np.empty(shape, x.dtype, like=x)
        depthwise.convolve(self._seen(x), self.taps, self._by_target(y), self.form, self.threads)
        return y

    def backward(
        self, x: np.ndarray, slope: np.ndarray, to_x: np.ndarray | None, needed: Needed
    ) -> WeightGradients:
        """Add the gradient of x to ``to_x``, if there is one, and give those of the weights."""
        to_across = self._to_across(x, slope) if needed.across else None
        to_bias = self._to_bias(slope) if needed.bias else None
        to_within = None
        if to_x is not None or needed.within:
            behind = np.empty_like(slope)
            self._multiply(slope, self.across, behind)
            if to_x is not None:
                self._add_to_x(behind, to_x)
            if needed.within:
                to_within = self._to_within(x, behind)
        return WeightGradients(to_within, to_across, to_bias)

    def _add_to_x(self, slope: np.ndarray, to_x: np.ndarray) -> None:
        seen = to_x[:, :: self.apart, :: self.apart]
        given = to_x if self.apart == 1 else np.zeros_like(seen, order="C")
        slopes = self._by_target(slope)
        depthwise.add_input_gradient(slopes, self.taps, given, self.form, self.threads)
        if self.apart > 1:
            seen += given

    def _to_within(self, x: np.ndarray, slope: np.ndarray) -> Tensor:
        kernel, slopes = self.form.kernel, self._by_target(slope)
        taps = depthwise.weight_gradient(self._seen(x), slopes, self.form, self.threads)
        columns = dense(taps.reshape(kernel * kernel, -1).T)
        return torch.from_numpy(columns.reshape(-1, 1, kernel, kernel))

    def _to_across(self, x: np.ndarray, slope: np.ndarray) -> Tensor:
        maps = self._pixels(slope), self._pixels(self.between(x))
        found = products.weight_gradient(*maps, self.threads)
        return torch.from_numpy(found.reshape(-1, self.channels, 1, 1))

    def _to_bias(self, slope: np.ndarray) -> Tensor:
        return torch.from_numpy(slope.sum((0, 1, 2)))

    def _multiply(self, x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
        products.multiplied(self._pixels(x), weight, self._pixels(y), self.threads)

    def _seen(self, x: np.ndarray) -> np.ndarray:
        return dense(x[:, :: self.apart, :: self.apart])

    def _by_target(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(*y.shape[:3], self.targets, -1)

    def _pixels(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(-1, self.edges, self.channels)
