"""The sum of separable operations on the edges of a stage, and its gradients, by kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from search_spaces import map_norm_kernels
from search_spaces.arrays import array_of, image_of
from search_spaces.map_norm import Statistics, statistics
from search_spaces.map_norm_kernels import Slopes
from search_spaces.mixed_separable import Operation
from search_spaces.separable_kernels import Needed, SeparableKernels, WeightGradients


class Kept(NamedTuple):
    """What a pass forward leaves for the gradients.

    Attributes:
        between: of operations with two convolutions, what is before the first norm layer,
            (operations, N, pixels, edges, C).
        last: of all, what is before the last one, (operations, N, pixels, targets, sources, C).
        standards: what the maps between and the last ones are standardised by.
        kernels: those of each operation's convolutions.
    """

    between: Tensor
    last: Tensor
    standards: tuple[Statistics | None, Statistics]
    kernels: Sequence[Sequence[SeparableKernels]]


def forward(x: Tensor, operations: Sequence[Operation], shares: Tensor) -> tuple[Tensor, Kept]:
    """The sum (N, pixels, targets, C) of `search_spaces.mixed_separable`."""
    size = _size(x, operations)
    twice = [place for place, each in enumerate(operations) if each.is_twofold]
    edges = (shares[0].numel(), x.shape[-1])
    between, last = (x.new_empty(count, *size, *edges) for count in (len(twice), len(operations)))
    seen, results = _images(between), _images(last)
    orders = {place: order for order, place in enumerate(twice)}
    kernels = [_kernels(each, len(shares[0])) for each in operations]
    for place, each in enumerate(operations):
        whole = seen[orders[place]] if each.is_twofold else results[place]
        kernels[place][0].forward(image_of(x), whole)
    between, before = between.flatten(2, 3), None
    if twice:
        before = statistics([operations[place].layers[0] for place in twice], between)
        behind_relu = map_norm_kernels.standardised(between, before, relu=True)
        for place, image in zip(twice, _images(behind_relu.unflatten(2, size[1:])), strict=True):
            kernels[place][1].forward(image, results[place])
    last = last.flatten(2, 3).unflatten(3, shares.shape[1:])
    behind = statistics([each.layers[-1] for each in operations], last)
    total = map_norm_kernels.weighted(last, behind, shares)
    return total, Kept(between, last, (before, behind), kernels)


def _kernels(operation: Operation, targets: int) -> list[SeparableKernels]:
    """Of the first convolution, whose sources several targets read, and of the second."""
    first, *second = operation.convolutions
    return [SeparableKernels(first, targets), *(SeparableKernels(each, 1) for each in second)]


def _size(x: Tensor, operations: Sequence[Operation]) -> tuple[int, int, int]:
    """N, H' and W'."""
    stride = operations[0].convolutions[0].stride
    height, width = (-(-length // stride) for length in x.shape[1:3])
    return len(x), height, width


def _images(maps: Tensor) -> np.ndarray:
    """(operations, N, H, W, edges, C) to (operations, N, H, W, edges * C)."""
    return array_of(maps).reshape(*maps.shape[:4], maps.shape[4:].numel())


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
        self.x, self.operations, self.shares, self.kept = image_of(x), operations, shares, kept
        self.size = (*_size(x, operations), -1)
        self.to_x = x.new_zeros(x.shape) if to_x else None
        needed = iter(to_weights)
        self.needed = [[next(needed) for _ in each.convolutions] for each in operations]

    def gradients(self, slope: Tensor) -> tuple[Tensor | None, Tensor, list[WeightGradients]]:
        """Of x, of the shares and of the weights, from the slope of the sum."""
        last, given = self.kept.last, self.kept.standards[1]
        slopes = Slopes([slope], last, given, relu=False)
        if self.to_x is None and not any(any(each) for some in self.needed for each in some):
            nothing = [WeightGradients(None, None, None) for some in self.needed for _ in some]
            return None, slopes.to_weights(), nothing
        found = self._of_all(slopes.to_maps(self.shares))
        return self.to_x, slopes.to_weights(), found

    def _of_all(self, slopes: Iterator[Tensor]) -> list[WeightGradients]:
        """From the slopes of the last maps."""
        first, second = {}, {}
        behind = self.kept.between.new_zeros(self.kept.between.shape)
        twice: list[int] = []
        for place, (each, slope) in enumerate(zip(self.operations, slopes, strict=True)):
            if each.is_twofold:
                second[place] = self._second(place, len(twice), slope, behind[len(twice)])
                twice.append(place)
            else:
                first[place] = self._first(place, slope)
        if twice:
            for place, slope in zip(twice, self._before_relu(behind), strict=True):
                first[place] = self._first(place, slope)
        places = range(len(self.operations))
        found = [(first[place], second.get(place)) for place in places]
        return [each for both in found for each in both if each is not None]

    def _first(self, place: int, slope: Tensor) -> WeightGradients:
        to_x = None if self.to_x is None else image_of(self.to_x)
        first = self.kept.kernels[place][0]
        return first.backward(self.x, self._image(slope), to_x, self.needed[place][0])

    def _second(self, place: int, order: int, slope: Tensor, to_seen: Tensor) -> WeightGradients:
        """Gradients of the weights, and to ``to_seen`` that of what the convolution sees."""
        given, y = self.kept.standards[0], self.kept.between[order]
        assert given is not None
        (seen,) = map_norm_kernels.standardised([y], given.of_one(order), relu=True)
        x, behind, to_x = (self._image(each) for each in (seen, slope, to_seen))
        return self.kept.kernels[place][1].backward(x, behind, to_x, self.needed[place][1])

    def _image(self, y: Tensor) -> np.ndarray:
        return array_of(y).reshape(self.size)

    def _before_relu(self, slopes: Tensor) -> Iterator[Tensor]:
        given, maps = self.kept.standards[0], self.kept.between
        assert given is not None
        return Slopes(slopes, maps, given, relu=True).to_maps()
