"""The sum of pools and identities on the edges of a stage, and its gradients, by kernels.

Arrays of maps are (maps, N, pixels, R), of images (N, H, W, R), R = sources * C.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from search_spaces.arrays import array_of, image_of
from search_spaces.kernels import pools, shared
from search_spaces.kernels.norms import Edges
from search_spaces.map_norm import Statistics
from search_spaces.map_norm_kernels import coefficients, per_channel, standard_rows
from search_spaces.mixed_pools import AVERAGE, MAXIMUM, Pooling


class Kept(NamedTuple):
    """What a pass forward leaves for the gradients.

    Attributes:
        maps: what is before the norm layers, (maps, N, pixels, sources, C).
        taps: which pixel is the maximum, (N, pixels, sources, C); empty without such a pool.
        given: what the pooled maps are standardised by; None if there are none.
    """

    maps: Tensor
    taps: Tensor
    given: Statistics | None

    @property
    def y(self) -> np.ndarray:
        """The maps."""
        return image_of(self.maps)

    def standard(self, pooled: int) -> tuple[np.ndarray, np.ndarray]:
        """Factor and shift of all maps, (maps, N, R); identities are as they are."""
        y = self.y
        factor, shift = np.ones_like(y[:, :, 0]), np.zeros_like(y[:, :, 0])
        if self.given is not None:
            rows = standard_rows(self.given, *y[:pooled].shape[:2])
            factor[:pooled], shift[:pooled] = (each.reshape(-1, *y.shape[1::2]) for each in rows)
        return factor, shift


def forward(x: Tensor, pooling: Pooling, shares: Tensor) -> tuple[Tensor, Kept]:
    """The sum (N, pixels, targets, C) of `search_spaces.mixed_pools`."""
    many, threads = len(pooling.pools), torch.get_num_threads()
    size = _size(x, pooling.stride)
    shape = (size[0], size[1] * size[2], *x.shape[3:])
    maps = x.new_empty(pooling.maps, *shape)
    taps = x.new_empty(shape if MAXIMUM in pooling.pools else 0)
    seen, images = image_of(x), array_of(maps).reshape(-1, *size)
    for name, image in zip(pooling.pools, images, strict=False):
        if name == MAXIMUM:
            pools.maximum(seen, image, array_of(taps), pooling.stride, threads)
        if name == AVERAGE:
            pools.average(seen, image, pooling.stride, threads)
    if pooling.identity:
        images[many] = seen
    kept = Kept(maps, taps, pooling.standards(maps[:many]))
    edges = Edges(shares.shape[1], shares.shape[2], x.shape[-1])
    weights = _per_number(shares, edges)
    factor, shift = (weights * each[:, :, np.newaxis] for each in kept.standard(many))
    constant = torch.from_numpy(shift.sum(0).reshape(-1, 1, *edges).sum(3))
    total = constant.expand(-1, shape[1], -1, -1).contiguous()
    shared.add_weighted(kept.y, factor, array_of(total), edges, threads)
    return total, kept


class Backward:
    """A pass back, from the slope of the sum, (N, pixels, targets, C)."""

    def __init__(
        self, slope: Tensor, x: Tensor, pooling: Pooling, shares: Tensor, kept: Kept
    ) -> None:
        self.x, self.pooling, self.kept = x, pooling, kept
        self.slope = array_of(slope).reshape(*slope.shape[:2], -1)
        self.edges = Edges(shares.shape[1], shares.shape[2], x.shape[-1])
        self.threads = torch.get_num_threads()
        self.weights = _per_number(shares, self.edges)
        self.standard = kept.standard(len(pooling.pools))
        given = self.slope, kept.y, self.standard
        along = shared.sums_of_slopes(*given, self.edges, self.threads)
        self.along = along.reshape(*along.shape[:2], self.edges.targets, -1)

    def to_shares(self) -> Tensor:
        """Gradient of the shares, (maps, targets, sources)."""
        of_edges: np.ndarray = self.along.sum(1).reshape(-1, *self.edges).sum(-1)
        return torch.from_numpy(of_edges)

    def to_x(self) -> Tensor:
        """Gradient of x."""
        y, rows = self.kept.y, self._rows()
        factor, slopes = self.weights * self.standard[0][:, :, np.newaxis], np.empty_like(y)
        shared.combined(self.slope, y, factor, rows, slopes, self.edges, self.threads)
        return self._through_pools(slopes)

    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """What norm layers add to the slopes of maps: b y + c, (maps, N, R)."""
        b, c = (np.zeros_like(each) for each in self.standard)
        given, many = self.kept.given, len(self.pooling.pools)
        if given is not None:
            maps, samples, pixels, numbers = self.kept.y[:many].shape
            weights = self.weights[:many].reshape(maps, 1, *self.edges)
            slope = self.slope.sum(1).reshape(samples, self.edges.targets, 1, -1)
            along = self.along[:many].reshape(maps, samples, *self.edges)
            sums = np.stack([(weights * each).sum(2) for each in (slope, along)])
            factor, shift = (part[:many].reshape(-1, numbers) for part in self.standard)
            _, *found = coefficients(
                sums.reshape(2, -1, numbers),
                (factor, shift),
                np.ones((maps, numbers), b.dtype, like=b),
                given.average,
                (samples, pixels),
                self.x.shape[3:],
            )
            b[:many], c[:many] = (part.reshape(maps, samples, -1) for part in found)
        return b, c

    def _through_pools(self, slopes: np.ndarray) -> Tensor:
        many, stride = len(self.pooling.pools), self.pooling.stride
        images = slopes.reshape(-1, *_size(self.x, stride))
        to_x = self.x.new_zeros(self.x.shape)
        found = image_of(to_x)
        if self.pooling.identity:
            found[...] = images[many]
        for name, image in zip(self.pooling.pools, images, strict=False):
            if name == MAXIMUM:
                taps = array_of(self.kept.taps)
                pools.add_maximum_gradient(image, taps, found, stride, self.threads)
            if name == AVERAGE:
                pools.add_average_gradient(image, found, stride, self.threads)
        return to_x


def _size(x: Tensor, stride: int) -> tuple[int, int, int, int]:
    """N, H', W' and R of what is pooled."""
    height, width = (-(-length // stride) for length in x.shape[1:3])
    return len(x), height, width, x.shape[3:].numel()


def _per_number(shares: Tensor, edges: Edges) -> np.ndarray:
    """(maps, targets, sources) to (maps, 1, targets, R)."""
    return per_channel(shares, edges).reshape(len(shares), 1, edges.targets, -1)
