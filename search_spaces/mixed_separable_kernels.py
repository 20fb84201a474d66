"""The sum of separable operations on the edges of a stage, and its gradients, by kernels.

In here, maps of edges are in blocks, see `search_spaces.kernels.separable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces.arrays import array_of, image_of
from search_spaces.kernels import mixtures
from search_spaces.kernels.norms import Edges
from search_spaces.kernels.separable import Seen, Slope, in_blocks
from search_spaces.map_norm import Statistics, statistics_of_sums
from search_spaces.map_norm_kernels import Rows, per_channel, rows_before, standard_rows
from search_spaces.mixed_separable import Operation
from search_spaces.separable_kernels import Needed, SeparableKernels, WeightGradients


class Kept(NamedTuple):
    """What a pass forward leaves for the gradients.

    Attributes:
        between: of operations with two convolutions, what is before the first norm layer,
            (operations, *blocks).
        last: of all, what is before the last one.
        standards: what the maps between and the last ones are standardised by.
        kernels: those of each operation's convolutions.
    """

    between: Tensor
    last: Tensor
    standards: tuple[Statistics | None, Statistics]
    kernels: Sequence[Sequence[SeparableKernels]]


def forward(x: Tensor, operations: Sequence[Operation], shares: Tensor) -> tuple[Tensor, Kept]:
    """The sum (N, pixels, targets, C) of `search_spaces.mixed_separable`."""
    edges = _edges(x, shares)
    twice = [place for place, each in enumerate(operations) if each.is_twofold]
    between, last = (_empty(x, many, operations, edges) for many in (len(twice), len(operations)))
    orders = {place: order for order, place in enumerate(twice)}
    kernels = [[SeparableKernels(one) for one in each.convolutions] for each in operations]
    images, results = array_of(between), array_of(last)
    whole, sums = _whole(x), {}
    for place, (first, *_) in enumerate(kernels):
        y = images[orders[place]] if place in orders else results[place]
        sums[place] = first.forward(whole, y)
    before = None
    if twice:
        layers = [operations[place].layers[0] for place in twice]
        shape = edges.targets * edges.sources, edges.channels
        before = _statistics(layers, [sums[place] for place in twice], between, shape)
        for place, seen in zip(twice, _seen(images, before), strict=True):
            sums[place] = kernels[place][1].forward(seen, results[place])
    layers = [each.layers[-1] for each in operations]
    behind = _statistics(layers, list(sums.values()), last, edges)
    total = _mixture(results, behind, shares, edges)
    return total, Kept(between, last, (before, behind), kernels)


def _edges(x: Tensor, shares: Tensor) -> Edges:
    _, targets, sources = shares.shape
    return Edges(targets, sources, x.shape[-1])


def _empty(x: Tensor, many: int, operations: Sequence[Operation], edges: Edges) -> Tensor:
    """Maps of the edges."""
    stride = operations[0].convolutions[0].stride
    height, width = (-(-length // stride) for length in x.shape[1:3])
    numbers = edges.targets * edges.sources * edges.channels
    return x.new_empty(many, *in_blocks(len(x), height, width, numbers))


def _whole(x: Tensor) -> Seen:
    """The maps of the sources, which are not standardised."""
    image = image_of(x)
    rows = len(image), image.shape[3]
    ones, zeros = (make(rows, image.dtype, like=image) for make in (np.ones, np.zeros))
    return Seen(image, ones, zeros)


def _statistics(
    layers: Sequence[nn.Module],
    sums: Sequence[np.ndarray],
    maps: Tensor,
    shape: tuple[int, ...],
) -> Statistics:
    """What layers standardise maps by, from the sums (2, N, R) of each, R numbers of a shape."""
    images, pixels = maps.shape[1], maps.shape[3:5].numel()
    each = np.stack(sums, 1).reshape(2, len(layers), images, *shape)
    return statistics_of_sums(layers, torch.from_numpy(each), pixels)


def _seen(maps: np.ndarray, given: Statistics) -> list[Seen]:
    """Maps, and what they are standardised by."""
    rows = _rows(maps, given)
    return [Seen(*each) for each in zip(maps, *rows, strict=True)]


def _rows(maps: np.ndarray, given: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift of maps, (maps, N, R)."""
    factor, shift = standard_rows(given, *maps.shape[:2])
    shape = *maps.shape[:2], -1
    return factor.reshape(shape), shift.reshape(shape)


def _mixture(maps: np.ndarray, given: Statistics, shares: Tensor, edges: Edges) -> Tensor:
    """Sum over maps and sources of shares (maps, targets, sources) times standardised maps."""
    factor, shift = _rows(maps, given)
    each = per_channel(shares, edges)[:, np.newaxis]
    constant = (each * shift).sum(0).reshape(-1, *edges).sum(2).reshape(maps.shape[1], -1)
    flat = maps.reshape(*maps.shape[:3], -1, maps.shape[5])
    total = mixtures.mixture(flat, each * factor, constant, edges, torch.get_num_threads())
    return torch.from_numpy(total.reshape(*total.shape[:2], edges.targets, edges.channels))


class Backward:
    """A pass back.

    Args:
        x, operations, shares: of the pass forward.
        kept: by it.
        to_x: whether the gradient of x is needed.
        to_weights: of which weights of each convolution, one behind the other.
    """

    def __init__(
        self,
        x: Tensor,
        operations: Sequence[Operation],
        shares: Tensor,
        kept: Kept,
        to_x: bool,
        to_weights: Sequence[Needed],
    ) -> None:
        self.operations, self.shares, self.kept = operations, shares, kept
        self.edges, self.whole = _edges(x, shares), _whole(x)
        self.to_x = torch.empty_like(x, memory_format=torch.contiguous_format) if to_x else None
        self.adds = False
        needed = iter(to_weights)
        self.needed = [[next(needed) for _ in each.convolutions] for each in operations]

    def gradients(self, slope: Tensor) -> tuple[Tensor | None, Tensor, list[WeightGradients]]:
        """Of x, of the shares and of the weights, from the slope of the sum."""
        maps, given = array_of(self.kept.last), self.kept.standards[1]
        behind, standard = array_of(slope), _rows(maps, given)
        flat = maps.reshape(*maps.shape[:3], -1, maps.shape[5])
        pixels = behind.reshape(*behind.shape[:2], -1)
        sums = mixtures.sums_of_slopes(pixels, flat, standard, self.edges, torch.get_num_threads())
        to_shares = torch.from_numpy(sums[1].sum(1).reshape(len(maps), *self.edges).sum(3))
        if self.to_x is None and not any(any(each) for some in self.needed for each in some):
            nothing = [WeightGradients(None, None, None) for some in self.needed for _ in some]
            return None, to_shares, nothing
        weights = per_channel(self.shares, self.edges)
        rows = self._rows_before(maps, given, sums, weights)
        image = behind.reshape(len(behind), *maps.shape[3:5], -1)
        slopes = [Slope(image, y, *each) for y, each in zip(maps, rows, strict=True)]
        return self.to_x, to_shares, self._of_all(slopes)

    def _of_all(self, slopes: Sequence[Slope]) -> list[WeightGradients]:
        """From the slopes of the last maps."""
        first, second = {}, {}
        for place, (each, slope) in enumerate(zip(self.operations, slopes, strict=True)):
            if not each.is_twofold:
                first[place] = self._first(place, slope)
        given = self.kept.standards[0]
        if given is not None:
            maps, twice = array_of(self.kept.between), sorted(set(range(len(slopes))) - set(first))
            images, sums = np.empty_like(maps), []
            for place, seen, image in zip(twice, _seen(maps, given), images, strict=True):
                kernels, needed = self.kept.kernels[place][1], self.needed[place][1]
                second[place] = kernels.weight_gradients(seen, slopes[place], needed)
                sums.append(kernels.input_gradient(seen, slopes[place], image, adds=False))
            rows = self._rows_before(maps, given, np.stack(sums, 1), None)
            for place, image, y, own in zip(twice, images, maps, rows, strict=True):
                first[place] = self._first(place, Slope(image, y, *own))
        places = range(len(slopes))
        found = [(first[place], second.get(place)) for place in places]
        return [each for both in found for each in both if each is not None]

    def _first(self, place: int, slope: Slope) -> WeightGradients:
        kernels = self.kept.kernels[place][0]
        if self.to_x is not None:
            kernels.input_gradient(self.whole, slope, image_of(self.to_x), self.adds)
            self.adds = True
        return kernels.weight_gradients(self.whole, slope, self.needed[place][0])

    def _rows_before(
        self, maps: np.ndarray, given: Statistics, sums: np.ndarray, weights: np.ndarray | None
    ) -> list[Rows]:
        """What gradients of maps are computed by, from sums (2, maps, N, R) of the slopes."""
        size, pixels = maps.shape[:2], maps.shape[3] * maps.shape[4]
        return rows_before(sums, given, weights, (*size, pixels), torch.Size(self.edges))
